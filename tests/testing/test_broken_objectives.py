"""Objectives that break one promise each: the kit names it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from fusionkit_samplers.direct import Direct
from torch import Tensor

from fusionkit import (
    IDENTITY_PRESERVING,
    OBJECTIVE,
    SOURCE_SYMMETRIC,
    Run,
    StartedTarget,
)
from fusionkit.sampling.guide import sample
from fusionkit.testing import ConstantWeights, WeightedMean, make_run, synthetic_sources

Failures = Callable[..., dict[str, str]]


class Made:
    """An objective of a started class."""

    def __init__(self, started: Callable[[Run], Any], **members: Any) -> None:
        self.started = started
        for name, value in members.items():
            setattr(self, name, value)

    def start(self, run: Run) -> Any:
        return self.started(run)


class Mean(StartedTarget):
    """The sound one that the broken ones derive from."""

    def __init__(self, run: Run, strength: float = 0.1) -> None:
        super().__init__(run, strength)

    def target(self, step: Any, weights: Tensor) -> Tensor:
        return (weights * self.run.sources).sum(0)


class Infinite(Mean):
    def target(self, step: Any, weights: Tensor) -> Tensor:
        return super().target(step, weights) / (self.run.sources[0] - self.run.sources[1])


class Squeezed(Mean):
    def rectify(self, step: Any, weights: Tensor) -> Tensor:
        return super().rectify(step, weights).squeeze(1)


class InitialOfSum(Mean):
    def initial(self, weights: Tensor) -> Tensor:
        return 5 * self.run.sources.sum(0)


class InitialOfWrongShape(Mean):
    def initial(self, weights: Tensor) -> Tensor:
        return self.run.sources


class InitialOfFloat32(Mean):
    def initial(self, weights: Tensor) -> Tensor:
        return super().initial(weights).float()


class Leaks(Mean):
    def target(self, step: Any, weights: Tensor) -> Tensor:
        return super().target(step, weights) + 0.01 * self.run.sources.mean(0)


class LeaksInitially(Mean):
    def initial(self, weights: Tensor) -> Tensor:
        return self.run.sources.mean(0)


class LeaksEstimate(Mean):
    def target(self, step: Any, weights: Tensor) -> Tensor:
        estimates = self.run.source_estimate(step.index)
        return super().target(step, weights) + 0.01 * estimates.amax(0)


class Descends(Mean):
    """One step down the gradient of an energy, for which it enables gradients."""

    def energy(self, f: Tensor, step: Any, weights: Tensor) -> Tensor:
        return (weights * (f - self.run.sources).square()).sum()

    def rectify(self, step: Any, weights: Tensor) -> Tensor:
        with torch.enable_grad():
            f = step.x0.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(self.energy(f, step, weights), f)
        return step.x0 - gradient / 4


class ThroughEstimator(Descends):
    def energy(self, f: Tensor, step: Any, weights: Tensor) -> Tensor:
        clean = self.run.clean_estimate(f, step.index)
        return (clean - (weights * self.run.sources).sum(0)).square().sum()


class Brightens(Mean):
    def target(self, step: Any, weights: Tensor) -> Tensor:
        return super().target(step, weights) + 0.01


class FirstCountsDouble(Mean):
    def target(self, step: Any, weights: Tensor) -> Tensor:
        counts = torch.ones_like(weights)
        counts[0] = 2
        counts = counts * weights
        return (counts / counts.sum(0) * self.run.sources).sum(0)


class ThreeTimes(Mean):
    def rectify(self, step: Any, weights: Tensor) -> Tensor:
        return 3 * super().rectify(step, weights)


class ThreeTimesAtFirst(Mean):
    def initial(self, weights: Tensor) -> Tensor:
        return 3 * super().initial(weights)


class Adds(Mean):
    """Adds the target to the estimate, instead of their mean."""

    def rectify(self, step: Any, weights: Tensor) -> Tensor:
        return step.x0 + self.target(step, weights)


class Black(Mean):
    def target(self, step: Any, weights: Tensor) -> Tensor:
        return 0 * super().target(step, weights)


class Negative(Mean):
    def rectify(self, step: Any, weights: Tensor) -> Tensor:
        return -super().rectify(step, weights)


class WritesWeights(Mean):
    def target(self, step: Any, weights: Tensor) -> Tensor:
        weights.data = weights.clone().clamp_(0.1, 0.9)
        weights.data /= weights.sum(0)
        return super().target(step, weights)


class WritesInitially(Mean):
    def initial(self, weights: Tensor) -> Tensor:
        return self.run.sources.mul_(weights).sum(0)


class WritesX0(Mean):
    def rectify(self, step: Any, weights: Tensor) -> Tensor:
        return step.x0.lerp_(self.target(step, weights), 0.5)


class BatchScaled(Mean):
    def target(self, step: Any, weights: Tensor) -> Tensor:
        target = super().target(step, weights)
        return target - target.mean()


class Random(Mean):
    def target(self, step: Any, weights: Tensor) -> Tensor:
        target = super().target(step, weights)
        return target + 0.01 * torch.randn_like(target)


class Reads(Mean):
    def target(self, step: Any, weights: Tensor) -> Tensor:
        return super().target(step, weights) / max(1.0, float(weights.max()))


BROKEN = {
    "not finite": (Infinite, "finite", "is not finite at step 1 of 3"),
    "shape": (Squeezed, "finite", "shape"),
    "initial out of range": (InitialOfSum, "initial_fusion", "in about [-1, 1], but reaches"),
    "initial of wrong shape": (InitialOfWrongShape, "initial_fusion", "(B, C, H, W)"),
    "initial of wrong dtype": (InitialOfFloat32, "initial_fusion", "the dtype of the run"),
    "leaks a source": (Leaks, "zero_weight_has_no_influence", "replacing it changes"),
    "leaks it into the first fusion": (LeaksInitially, "zero_weight_has_no_influence", "replacing"),
    "leaks its estimate": (LeaksEstimate, "zero_weight_has_no_influence", "replacing it changes"),
    "three times too long": (ThreeTimes, "keeps_to_the_sources", "returns 3 times it"),
    "three times at first": (ThreeTimesAtFirst, "keeps_to_the_sources", "initial must return"),
    "a sum for a mean": (Adds, "keeps_to_the_sources", "returns 2 times it"),
    "black": (Black, "keeps_to_the_sources", "off by 0.909 of its size"),
    "negative": (Negative, "keeps_to_the_sources", "off by 2 of its size"),
    "backpropagates": (ThroughEstimator, "no_gradient_through_estimator", "no gradient passes"),
    "writes to weights": (WritesWeights, "inputs_not_mutated", "changed the weights"),
    "writes to sources": (WritesInitially, "inputs_not_mutated", "initial changed the sources"),
    "writes to x0": (WritesX0, "inputs_not_mutated", "changed step.x0"),
    "one scale for the batch": (BatchScaled, "images_do_not_interact", "alone and in a batch"),
    "global randomness": (Random, "deterministic", "run.noise"),
    "host read": (Reads, "runs_on_meta_device", "on the meta device"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_the_broken_promise_is_named(case: str, failures: Failures) -> None:
    started, check, words = BROKEN[case]
    failed = failures(OBJECTIVE, lambda: Made(started))
    assert check in failed
    assert words in failed[check]
    assert failed[check].startswith("objective broken")
    assert "\n" not in failed[check]


@pytest.mark.parametrize("started", [Mean, Descends, lambda run: Mean(run, 0.0)])
def test_sound_ones_pass(started: Any, failures: Failures) -> None:
    traits = (SOURCE_SYMMETRIC, IDENTITY_PRESERVING)
    assert failures(OBJECTIVE, lambda: Made(started), traits=traits) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("started", "trait", "check"),
    [
        (Brightens, IDENTITY_PRESERVING, "identity_preserving"),
        (FirstCountsDouble, SOURCE_SYMMETRIC, "source_symmetric"),
    ],
)
def test_false_traits(started: Any, trait: str, check: str, failures: Failures) -> None:
    assert failures(OBJECTIVE, lambda: Made(started)) == {}
    failed = failures(OBJECTIVE, lambda: Made(started), traits=(trait,))
    assert list(failed) == [check]
    assert f"it declares {trait}" in failed[check]


def test_false_claim_to_ignore_the_trajectory(failures: Failures) -> None:
    failed = failures(OBJECTIVE, lambda: Made(Mean, uses_trajectory=False))
    assert "uses_trajectory = False" in failed["no_trajectory"]


def test_the_identity_that_is_meant_is_that_of_a_target_only_run() -> None:
    """What ``identity_preserving`` checks is what a run without a trajectory returns."""
    sources = synthetic_sources(1, 1).expand(3, -1, -1, -1, -1)
    *_, last = sample(make_run(sources), ConstantWeights(), WeightedMean(0), Direct())
    assert not last.step.has_trajectory
    torch.testing.assert_close(last.corrected, sources[0])
