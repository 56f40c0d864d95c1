"""What a sampler is guided by: components asked, checked and blamed, step after step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from ..contract.objective import Objective, StartedObjective
from ..contract.run import Step
from ..contract.sampler import Sampler
from ..contract.weighting import Weighting
from ..errors import PluginError
from ..ops.channels import distinct
from .flags import blame, check_shape
from .run import Run


@dataclass(frozen=True)
class SampledStep:
    """One guided step, as the loop exposes it.

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


class Guide:
    """A weighting and an objective in one run.

    Parameters
    ----------
    run
        The batch, its levels and prior.
    weighting, objective
        Built components; neither is changed.
    from_noise
        Whether a trajectory starts from pure noise; otherwise from the objective's initial
        fusion, noised.
    x_init
        The image at level 0, instead of either.
    weighting_name, objective_name
        What messages call them.
    """

    def __init__(
        self,
        run: Run,
        weighting: Weighting,
        objective: Objective,
        *,
        from_noise: bool = True,
        x_init: Tensor | None = None,
        weighting_name: str = "weighting",
        objective_name: str = "objective",
    ) -> None:
        self.run = run
        self._from_noise = from_noise
        self._x_init = x_init
        self._names = weighting_name, objective_name
        self._previous: Tensor | None = None
        # The objective first: the weighting can then see which source estimates are made anyway.
        with self._asked(objective_name, "while starting"):
            self._fusion = objective.start(run)
        with self._asked(weighting_name, "while starting"):
            self._weigh = weighting.start(run)
        if not callable(self._weigh):
            found = type(self._weigh).__name__
            raise PluginError(f"{weighting_name} started a {found}, not a function")
        if not isinstance(self._fusion, StartedObjective):
            found = type(self._fusion).__name__
            raise PluginError(f"{objective_name} started a {found} without initial and rectify")

    def start(self) -> Tensor:
        """Return the image at level 0, (B, C, H, W): noise, or the noised initial fusion."""
        run, name = self.run, self._names[1]
        if self._x_init is not None:
            return self._x_init
        noise = run.noise("fusionkit/start").mul_(run.sigma[0])
        if self._from_noise:
            return noise
        shape = run.sources.shape[1:]
        mean = distinct(run.sources).mean(0).expand(shape)
        weights = self._weights(Step(run, 0, mean, mean, provisional=True))
        del mean
        with self._asked(name, "for the initial fusion"):
            initial = self._fusion.initial(weights)
        check_shape(initial, shape, name, "an initial fusion", "", run.sources.dtype)
        run.flags.finite(initial, f"{name} returned an initial fusion that is not finite")
        return noise.add_(distinct(initial))

    def __call__(
        self,
        index: int,
        x: Tensor | None = None,
        x0: Tensor | None = None,
        provisional: bool = False,
    ) -> SampledStep:
        """Weigh the sources at a level, and correct the clean estimate towards them.

        Parameters
        ----------
        index
            i, of the level.
        x, x0
            The fused image at that level and its clean estimate, (B, C, H, W); None where
            the sampler has no trajectory.
        provisional
            Whether the estimate is one on the way to a step, which components should not store.
        """
        run, name = self.run, self._names[1]
        step = Step(run, index, x, x0, self._previous, provisional)
        weights = self._weights(step)
        where = _where(step)
        with self._asked(name, where):
            corrected = self._fusion.rectify(step, weights)
        shape, dtype = run.sources.shape[1:], run.sources.dtype
        check_shape(corrected, shape, name, "an estimate", where, dtype)
        run.flags.finite(corrected, f"{name} returned an estimate that is not finite {where}")
        if not provisional:
            self._previous = corrected
        return SampledStep(step, weights, corrected)

    def _weights(self, step: Step) -> Tensor:
        name, where = self._names[0], _where(step)
        with self._asked(name, where):
            weights = self._weigh(step)
        K, B, _, H, W = self.run.sources.shape
        check_shape(weights, (K, B, 1, H, W), name, "weights", where, self.run.sources.dtype)
        self.run.flags.simplex(weights, name, where)
        return weights

    @contextmanager
    def _asked(self, name: str, where: str) -> Iterator[None]:
        """Blame a component for what it raises, and for what it writes to."""
        with blame(name, where):
            yield
        self.run.refuse_writing(name, where)


def _where(step: Step) -> str:
    return f"at step {step.index + 1} of {step.run.steps} (noise level {step.sigma:.4g})"


def sample(
    run: Run,
    weighting: Weighting,
    objective: Objective,
    sampler: Sampler,
    *,
    from_noise: bool = True,
    x_init: Tensor | None = None,
    grad: bool = False,
    weighting_name: str = "weighting",
    objective_name: str = "objective",
    sampler_name: str = "sampler",
) -> Iterator[SampledStep]:
    """Let a sampler go from the first level to the clean image, yielding every step.

    Nothing in here reads a value back to the host. Parameters are those of :class:`Guide`; with
    ``grad``, gradients are recorded.
    """
    passed = 0
    steps: Iterator[SampledStep] | None = None
    while True:
        # Around each step, and not over what whoever takes the steps does between them.
        with torch.set_grad_enabled(grad), blame(sampler_name):
            if steps is None:
                guide = Guide(
                    run,
                    weighting,
                    objective,
                    from_noise=from_noise,
                    x_init=x_init,
                    weighting_name=weighting_name,
                    objective_name=objective_name,
                )
                steps = sampler.sample(run, guide)
            done = next(steps, None)
        run.refuse_writing(sampler_name)
        if done is None:
            if passed < run.steps:
                raise PluginError(f"{sampler_name} yielded {passed} of {run.steps} steps")
            return
        if not isinstance(done, SampledStep):
            raise PluginError(f"{sampler_name} yielded {type(done).__name__}, not a guided step")
        if done.step.index != passed or done.step.provisional:
            of = "a provisional step" if done.step.provisional else f"step {done.step.index + 1}"
            raise PluginError(f"{sampler_name} yielded {of} where step {passed + 1} is due")
        yield done
        passed += 1
        del done  # or its images would stay beside those of the next
        run.release_before(passed)
