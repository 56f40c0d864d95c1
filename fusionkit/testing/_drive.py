"""Driving a weighting or objective through small runs, and comparing what comes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from fusionkit.contract.guiding import uses_trajectory
from fusionkit.contract.run import Run as SomeRun
from fusionkit.contract.run import Step
from fusionkit.contract.weighting import WEIGHTING
from fusionkit.errors import PluginError
from fusionkit.sampling.guide import SampledStep, sample
from fusionkit.sampling.run import Run

from .checks import ConformanceError, Subject
from .doubles import (
    ConstantWeights,
    EulerSampler,
    WeightedMean,
    WhiteGaussian,
    make_run,
    synthetic_sources,
)

STEPS = 3
SEEDS = (11, 12)
TOLERANCE = 1e-6
"""How far results may differ that should be equal, in float64: rounding, with room for a
batch computed in another order. Values are of order 1."""


@dataclass(frozen=True)
class Outputs:
    """What a component returned, step by step: weights (K, B, ...) or estimates (B, ...)."""

    steps: tuple[Tensor, ...]
    batch_axis: int

    def image(self, b: int) -> Outputs:
        """Return the outputs for one image of the batch."""
        axis = self.batch_axis
        return Outputs(tuple(step.narrow(axis, b, 1) for step in self.steps), axis)

    def difference(self, other: Outputs) -> float:
        """Return the largest difference; infinite where the outputs cannot be compared."""
        if len(self.steps) != len(other.steps):
            return float("inf")
        pairs = list(zip(self.steps, other.steps, strict=True))
        if any(a.shape != b.shape for a, b in pairs):
            return float("inf")
        # A NaN must not pass for agreement.
        worst = max(float((a.double() - b.double()).abs().max()) for a, b in pairs)
        return worst if worst == worst else float("inf")


class RampWeights:
    """The reference weighting: from one source to another across the image, zeros included."""

    uses_trajectory = False

    def __init__(self, order: Sequence[int] = ()) -> None:
        self._order = list(order)

    def start(self, run: SomeRun) -> Any:
        """Lay out the weights."""
        K, B, _, H, W = run.sources.shape
        x = torch.linspace(0, 1, W, dtype=run.sources.dtype, device=run.sources.device)
        at = torch.arange(K, dtype=run.sources.dtype, device=run.sources.device) / (K - 1)
        shares = (1 - (K - 1) * (x - at.view(K, 1)).abs()).clamp_min(0)
        if self._order:
            shares = torch.stack([shares[k] for k in self._order])
        weights = shares.view(K, 1, 1, 1, W).expand(K, B, 1, H, W)
        return lambda step: weights


def scene(K: int = 2, B: int = 2, C: int = 1, H: int = 17, W: int = 23, seed: int = 0) -> Tensor:
    """Return sources whose images differ in contrast: a scale shared by a batch would show."""
    contrast = torch.linspace(1, 0.2, B, dtype=torch.float64).view(B, 1, 1, 1)
    return synthetic_sources(K, B, C, H, W, seed=seed) * contrast


def sampled(
    subject: Subject,
    component: Any,
    sources: Tensor,
    *,
    seeds: Sequence[int] | None = None,
    from_noise: bool = True,
    steps: int = STEPS,
    start_sigma: float = 6.0,
    estimator: Any = None,
    other: Any = None,
) -> Iterator[SampledStep]:
    """Sample with the component in its seat, and a reference component in the other.

    ``start_sigma`` is for what does not start from noise.
    """
    seeds = (SEEDS * sources.shape[1])[: sources.shape[1]] if seeds is None else seeds
    if estimator is None:
        estimator = WhiteGaussian(channels=sources.shape[2])
    start_sigma = 80.0 if from_noise else start_sigma
    run = make_run(sources, estimator=estimator, steps=steps, start_sigma=start_sigma, seeds=seeds)
    weighting: Any = other or RampWeights()
    objective: Any = component
    if subject.provided.kind == WEIGHTING:
        weighting, objective = component, other or WeightedMean()
    # Where the component raises, the sampler says at which step; its name is the kit's to say.
    yield from sample(
        run,
        weighting,
        objective,
        EulerSampler(),
        from_noise=from_noise,
        weighting_name="it",
        objective_name="it",
    )
    run.flags.verify()


def drive(subject: Subject, component: Any, sources: Tensor, **how: Any) -> Outputs:
    """Run to the end and return what the component returned; see :func:`sampled`."""
    with in_its_name(subject):
        return outputs(subject, list(sampled(subject, component, sources, **how)))


def interleaved(subject: Subject, component: Any, *sources: Tensor) -> list[Outputs]:
    """Run several runs of one component side by side, a step of each in turn."""
    with in_its_name(subject):
        rows = list(zip_longest(*(sampled(subject, component, each) for each in sources)))
    return [
        outputs(subject, [row[n] for row in rows if row[n] is not None])
        for n in range(len(sources))
    ]


def outputs(subject: Subject, steps: Sequence[SampledStep]) -> Outputs:
    """Pick out what the component under test returned."""
    if subject.provided.kind == WEIGHTING:
        return Outputs(tuple(step.weights for step in steps), 1)
    return Outputs(tuple(step.corrected for step in steps), 0)


def call(subject: Subject, started: Any, step: Step, weights: Tensor) -> Tensor:
    """Call a started component for one step, outside the sampler."""
    with in_its_name(subject), torch.no_grad():
        got = (
            started(step) if subject.provided.kind == WEIGHTING else started.rectify(step, weights)
        )
    subject.require(isinstance(got, Tensor), f"it must return a tensor, not {type(got).__name__}")
    tensor: Tensor = got
    return tensor


def started_by_hand(subject: Subject, component: Any, sources: Tensor) -> tuple[Run, Any, Tensor]:
    """Start a component in a run of its own; return the run, it, and reference weights."""
    run = make_run(sources, steps=STEPS, seeds=(SEEDS * sources.shape[1])[: sources.shape[1]])
    with in_its_name(subject), torch.no_grad():
        started = component.start(run)
    weights: Tensor = RampWeights().start(run)(None)
    return run, started, weights


def step_of(run: Run, index: int, estimate: Tensor | None, provisional: bool = False) -> Step:
    """Make a step whose clean estimate is given; without one, a step without a trajectory."""
    if estimate is None:
        return Step(run, index, None, None)
    x = estimate + run.sigma[index] * run.noise("fusionkit/testing", index)
    previous = None if index == 0 or provisional else estimate.clone()
    return Step(run, index, x, estimate, previous, provisional)


def uses(component: Any) -> bool:
    """Whether the component says that it reads the trajectory."""
    return uses_trajectory(component)


def constant(shares: Sequence[float]) -> ConstantWeights:
    """Return the weighting that gives each source this share, everywhere."""
    return ConstantWeights(shares)


@contextmanager
def in_its_name(subject: Subject) -> Iterator[None]:
    """Report what the sampler says of a component as a breach of the contract."""
    try:
        yield
    except PluginError as error:
        reason = str(error).removeprefix("it ")
        raise ConformanceError(f"{subject.name} {reason}") from error
