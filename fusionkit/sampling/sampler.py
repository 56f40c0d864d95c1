"""The one sampling loop: DDIM whose clean estimate is corrected towards the sources."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..contract.guiding import uses_trajectory
from ..contract.objective import Objective, StartedObjective
from ..contract.run import Step
from ..contract.weighting import Weighting, planned_steps
from ..errors import PluginError
from ..ops.channels import distinct
from .checks import blame, check_shape
from .run import Run


@dataclass(frozen=True)
class SampledStep:
    """One finished step, as the loop exposes it.

    Attributes
    ----------
    step
        What the components saw (``step.run``, ``step.x0`` before correction).
    weights
        (K, B, 1, H, W).
    corrected
        (B, C, H, W): the clean estimate after correction; of the last step, the result.
    """

    step: Step
    weights: Tensor
    corrected: Tensor


def sample(
    run: Run,
    weighting: Weighting,
    objective: Objective,
    *,
    from_noise: bool = True,
    eta: float = 0.0,
    weighting_name: str = "weighting",
    objective_name: str = "objective",
) -> Iterator[SampledStep]:
    """Sample (Song et al., DDIM, arXiv 2010.02502, eq. 12), yielding every step.

    For i = 0 ... N-1: estimate x0 from x_i; weigh the sources; correct x0 towards
    them; take the DDIM step from x_i, with the noise that x_i holds *beside the
    corrected x0*. Nothing in here reads a value back to the host.

    Parameters
    ----------
    run
        The batch, its levels and estimator. A weighting's plan may shorten it.
    weighting, objective
        Built components; neither is changed.
    from_noise
        Start from pure noise; otherwise from the objective's initial fusion, noised.
    eta
        0 is deterministic DDIM, 1 the ancestral sampler of DDPM.
    weighting_name, objective_name
        What messages call them.
    """
    steps = _steps(run, weighting, objective, from_noise, eta, weighting_name, objective_name)
    while True:
        # Around each step, and not over what whoever takes the steps does between them.
        with torch.no_grad():
            done = next(steps, None)
        if done is None:
            return
        yield done
        del done  # or its images would stay beside those of the next


def _steps(
    run: Run,
    weighting: Weighting,
    objective: Objective,
    from_noise: bool,
    eta: float,
    weighting_name: str,
    objective_name: str,
) -> Iterator[SampledStep]:
    with blame(weighting_name, "while planning"):
        keep = planned_steps(weighting, run)
        if keep is not None:
            run = run.subset(keep)
    # The objective first: the weighting can then see which source estimates are made anyway.
    with blame(objective_name, "while starting"):
        fusion = objective.start(run)
    with blame(weighting_name, "while starting"):
        weigh = weighting.start(run)
    if not callable(weigh):
        raise PluginError(f"{weighting_name} started a {type(weigh).__name__}, not a function")
    if not isinstance(fusion, StartedObjective):
        raise PluginError(
            f"{objective_name} started a {type(fusion).__name__} without initial and rectify"
        )

    def weights_of(step: Step) -> Tensor:
        where = f"at step {step.index + 1} of {run.steps} (noise level {step.sigma:.4g})"
        with blame(weighting_name, where):
            weights = weigh(step)
        K, B, _, H, W = run.sources.shape
        check_shape(weights, (K, B, 1, H, W), weighting_name, "weights", where, run.sources.dtype)
        run.checks.simplex(weights, weighting_name, where)
        return weights

    x: Tensor | None = None
    if uses_trajectory(weighting) or uses_trajectory(objective):
        if from_noise:
            x = run.noise("fusionkit/start")
        else:
            shape = run.sources.shape[1:]
            mean = distinct(run.sources).mean(0).expand(shape)
            weights = weights_of(Step(run, 0, mean, mean, provisional=True))
            del mean
            with blame(objective_name, "for the initial fusion"):
                initial = fusion.initial(weights)
            del weights
            dtype = run.sources.dtype
            check_shape(initial, shape, objective_name, "an initial fusion", "", dtype)
            run.checks.finite(
                initial, f"{objective_name} returned an initial fusion that is not finite"
            )
            x = run.noise("fusionkit/start").mul_(run.s[0]).add_(run.a[0] * distinct(initial))
            del initial

    corrected: Tensor | None = None
    for i in range(run.steps):
        x0 = None if x is None else run.clean_estimate(x, i)
        step = Step(run, i, x, x0, corrected)
        weights = weights_of(step)
        where = f"at step {i + 1} of {run.steps} (noise level {run.sigma[i]:.4g})"
        with blame(objective_name, where):
            corrected = fusion.rectify(step, weights)
        check_shape(
            corrected,
            run.sources.shape[1:],
            objective_name,
            "an estimate",
            where,
            run.sources.dtype,
        )
        run.checks.finite(
            corrected, f"{objective_name} returned an estimate that is not finite {where}"
        )
        yield SampledStep(step, weights, corrected)
        # Nothing of this step is kept alive during the next, which is when memory is needed.
        del step, x0, weights
        if x is not None and i + 1 < run.steps:  # nobody looks at level N
            x = ddim_step(run, i, x, corrected, eta)
        run.release_before(i + 1)


def ddim_step(run: Run, i: int, x: Tensor, x0: Tensor, eta: float) -> Tensor:
    """Go from level i to i + 1, given the clean estimate to go towards.

    With eps = (x - a_i x0) / s_i, x_{i+1} = a_{i+1} x0 + sqrt(s_{i+1}² - d²) eps + d z,
    d = eta (s_{i+1} / s_i) sqrt(1 - a_i² / a_{i+1}²).
    """
    a, s, a_next, s_next = run.a[i], run.s[i], run.a[i + 1], run.s[i + 1]
    fresh = eta * (s_next / s) * math.sqrt(max(0.0, 1 - (a / a_next) ** 2))
    kept = math.sqrt(max(0.0, s_next**2 - fresh**2)) / s
    after = torch.sub(x, x0, alpha=a).mul_(kept).add_(x0, alpha=a_next)
    if fresh > 0:
        after.add_(run.noise("fusionkit/ddim", i), alpha=fresh)
    return after
