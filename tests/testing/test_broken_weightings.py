"""Weightings that break one promise each: the kit names it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import torch

from fusionkit import SOURCE_SYMMETRIC, WEIGHTING, Run, UsageError, option
from fusionkit.testing import ConstantWeights

Failures = Callable[..., dict[str, str]]


def equal(run: Run) -> torch.Tensor:
    return ConstantWeights().start(run)(None).clone()


class PerStep:
    """A weighting out of a function of step, started anew in every run."""

    def __init__(self, function: Callable[[Any], torch.Tensor], **members: Any) -> None:
        self.function = function
        for name, value in members.items():
            setattr(self, name, value)

    def start(self, run: Run) -> Callable[[Any], torch.Tensor]:
        return self.function


def with_minimum_at_first(weights: torch.Tensor) -> torch.Tensor:
    weights[0], weights[1] = weights[0] - 0.75, weights[1] + 0.75
    return weights


def by_contrast(sources: torch.Tensor, dims: tuple[int, ...]) -> torch.Tensor:
    contrast = sources.square().mean(dims, keepdim=True).expand(*sources.shape[:2], 1, 1, 1)
    share = contrast + 1e-3
    return (share / share.sum(0)).expand(*sources.shape[:2], 1, *sources.shape[3:])


def mutating_estimate(step: Any) -> torch.Tensor:
    step.run.source_estimate(step.index).mul_(0.9)
    return equal(step.run)


def mutating_sources(step: Any) -> torch.Tensor:
    step.run.sources.clamp_(-0.1, 0.1)
    return equal(step.run)


def mutating_x0(step: Any) -> torch.Tensor:
    step.x0.zero_()
    return equal(step.run)


def random_weights(step: Any) -> torch.Tensor:
    return torch.rand_like(equal(step.run)).softmax(0)


def seeding(step: Any) -> torch.Tensor:
    torch.manual_seed(0)
    return random_weights(step)


def reading(step: Any) -> torch.Tensor:
    return equal(step.run) * (1.0 if step.run.sources.sum().item() > -1e9 else 0.0)


def selecting(step: Any) -> torch.Tensor:
    kept = step.run.sources[step.run.sources > 0].mean()  # a data-dependent shape
    return equal(step.run) + 0 * kept.nan_to_num()


def ordered(step: Any) -> torch.Tensor:
    weights = equal(step.run)
    weights[0], weights[1] = weights[0] * 0.5, weights[1] + weights[0] * 0.5
    return weights


def by_trajectory(step: Any) -> torch.Tensor:
    return torch.stack([step.x0, -step.x0]).mean(2, keepdim=True).softmax(0)


def by_previous(step: Any) -> torch.Tensor:
    previous = torch.zeros_like(step.run.sources[0]) if step.previous is None else step.previous
    K = len(step.run.sources)
    return torch.stack([previous * k for k in range(K)]).mean(2, keepdim=True).softmax(0)


BROKEN = {
    "sum": (PerStep(lambda s: equal(s.run) * 0.9), "on_the_simplex", "do not sum to 1"),
    "negative": (
        PerStep(lambda s: with_minimum_at_first(equal(s.run))),
        "on_the_simplex",
        "negative weights",
    ),
    "nan where there is no contrast": (
        PerStep(lambda s: (lambda v: v / v.sum(0))((s.run.sources + 1).mean(2, keepdim=True))),
        "on_the_simplex",
        "not finite at step 1 of 3",
    ),
    "shape": (PerStep(lambda s: equal(s.run)[:, :, 0]), "on_the_simplex", "shape"),
    "only two sources": (
        PerStep(lambda s: equal(s.run)[:2] * len(s.run.sources) / 2),
        "any_number_of_sources",
        "shape",
    ),
    "only even sizes": (
        PerStep(lambda s: equal(s.run)[..., : s.run.sources.shape[-1] // 2 * 2]),
        "any_size",
        "shape",
    ),
    "only float32": (PerStep(lambda s: equal(s.run).float()), "every_precision", "float64"),
    "one scale for the batch": (
        PerStep(lambda s: by_contrast(s.run.sources, (1, 2, 3, 4))),
        "images_do_not_interact",
        "alone and in a batch differs by",
    ),
    "writes to sources": (PerStep(mutating_sources), "inputs_not_mutated", "the sources"),
    "writes to x0": (PerStep(mutating_x0), "inputs_not_mutated", "step.x0"),
    "writes to estimates": (
        PerStep(mutating_estimate),
        "inputs_not_mutated",
        "the source estimate of level 0",
    ),
    "global randomness": (PerStep(random_weights), "deterministic", "draw noise from run.noise"),
    "seeds the global generator": (
        PerStep(seeding),
        "leaves_global_random_state",
        "alone: draw noise from run.noise",
    ),
    "host read": (PerStep(reading), "runs_on_meta_device", "on the meta device"),
    "data-dependent shape": (PerStep(selecting), "runs_on_meta_device", "on the meta device"),
    "farther than it says": (
        PerStep(
            lambda s: by_contrast(s.run.sources, (2, 3, 4)),
            uses_trajectory=False,
            levels="none",
            reach=4,
        ),
        "reach_is_kept",
        "within 4 pixels (reach), but what lies farther away changed what it returns by",
    ),
    "undeclared trajectory": (
        PerStep(by_trajectory, uses_trajectory=False),
        "no_trajectory",
        "uses_trajectory = False",
    ),
    "undeclared previous": (
        PerStep(by_previous, uses_trajectory=False),
        "no_trajectory",
        "step.previous was read, but the component declares uses_trajectory = False",
    ),
    "trajectory neither yes nor no": (
        PerStep(lambda s: equal(s.run), uses_trajectory="no"),
        "no_trajectory",
        "must be True or False",
    ),
    "not a weighting": (object(), "builds", "lacks start"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_the_broken_promise_is_named(case: str, failures: Failures) -> None:
    weighting, check, words = BROKEN[case]
    failed = failures(WEIGHTING, lambda: weighting)
    assert check in failed
    assert words in failed[check]
    assert failed[check].startswith("weighting broken")
    assert "\n" not in failed[check]


def test_a_sound_one_passes(failures: Failures) -> None:
    per_image = PerStep(lambda s: by_contrast(s.run.sources, (2, 3, 4)), uses_trajectory=False)
    assert failures(WEIGHTING, lambda: per_image, traits=(SOURCE_SYMMETRIC,)) == {}


def test_false_symmetry(failures: Failures) -> None:
    assert failures(WEIGHTING, lambda: PerStep(ordered)) == {}
    failed = failures(WEIGHTING, lambda: PerStep(ordered), traits=(SOURCE_SYMMETRIC,))
    assert list(failed) == ["source_symmetric"]
    assert "declares source-symmetric" in failed["source_symmetric"]


class CachesBySize:
    """Computes once for every size: another image of the same size gets the first one's weights."""

    def __init__(self) -> None:
        self.kept: dict[torch.Size, torch.Tensor] = {}

    def start(self, run: Run) -> Any:
        weights = self.kept.setdefault(run.sources.shape, by_contrast(run.sources, (2, 3, 4)))
        return lambda step: weights


class CountsRuns:
    """Trusts the first source more in every run."""

    def __init__(self) -> None:
        self.runs = 0

    def start(self, run: Run) -> Any:
        self.runs += 1
        weights = equal(run) / self.runs
        weights[0] += 1 - 1 / self.runs
        return lambda step: weights


class CountsSteps:
    """Counts steps in the component: right in one run after another, wrong side by side."""

    def start(self, run: Run) -> Any:
        self.count = 0
        return self.weights

    def weights(self, step: Any) -> torch.Tensor:
        self.count += 1
        weights = equal(step.run)
        weights[0] /= self.count
        return weights / weights.sum(0)


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (CachesBySize, "after another run"),
        (CountsRuns, "after another run"),
        (CountsSteps, "beside another run"),
    ],
)
def test_state_of_a_run_kept_in_the_component(
    factory: Callable[[], Any], words: str, failures: Failures
) -> None:
    failed = failures(WEIGHTING, factory)
    assert words in failed["runs_do_not_interact"]


class KeepsProvisional:
    """Weighs by the mean over its calls so far, the provisional one included."""

    def start(self, run: Run) -> Any:
        calls = []

        def weigh(step: Any) -> torch.Tensor:
            calls.append(step.x0.mean((1, 2, 3), keepdim=True))
            first = torch.sigmoid(20 * torch.stack(calls).mean(0))
            K, B, _, H, W = step.run.sources.shape
            return torch.stack([first] + [(1 - first) / (K - 1)] * (K - 1)).expand(K, B, 1, H, W)

        return weigh


def test_state_kept_of_the_provisional_step(failures: Failures) -> None:
    failed = failures(WEIGHTING, KeepsProvisional)
    assert list(failed) == ["provisional_call_leaves_no_trace"]


@dataclass(frozen=True)
class BrokenChoice:
    mode: Literal["good", "bad"] = option("good", "One of them does not work.")
    least: int = option(3, "Works from 1.", minimum=0)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda o: o.mode == "bad", "(with mode bad)"),
        (lambda o: o.least == 0, "(with least 0)"),
    ],
)
def test_an_option_value_that_does_not_work(
    broken: Callable[[Any], bool], words: str, failures: Failures
) -> None:
    def build(options: BrokenChoice, context: object) -> PerStep:
        factor = 0.5 if broken(options) else 1.0
        return PerStep(lambda s: equal(s.run) * factor)

    failed = failures(WEIGHTING, None, options=BrokenChoice, build=build)
    assert list(failed) == ["other_options"]
    assert words in failed["other_options"]


def test_an_option_value_that_is_refused_is_no_failure(failures: Failures) -> None:
    def build(options: BrokenChoice, context: object) -> PerStep:
        if options.mode == "bad":
            raise UsageError("mode bad needs a file")
        return PerStep(lambda s: equal(s.run))

    assert failures(WEIGHTING, None, options=BrokenChoice, build=build) == {}
