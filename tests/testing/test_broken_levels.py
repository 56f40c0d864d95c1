"""Components that depend on more than they say: the kit names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import torch

from fusionkit import OBJECTIVE, WEIGHTING, Run, option
from fusionkit.testing import ConstantWeights, WeightedMean

Failures = Callable[..., dict[str, str]]


class Tilted:
    """Weights of two sources, by a number that is read of the run or step."""

    uses_trajectory = False

    def __init__(self, levels: str, tilt: Callable[[Any], Any]) -> None:
        self.levels = levels
        self.tilt = tilt

    def start(self, run: Run) -> Any:
        def weigh(step: Any) -> torch.Tensor:
            first = torch.sigmoid(torch.as_tensor(self.tilt(step)).to(run.sources))
            K, B, _, H, W = run.sources.shape
            rest = (1 - first) / (K - 1)
            return torch.stack([(first if k == 0 else rest).expand(B, 1, H, W) for k in range(K)])

        return weigh


def noise(step: Any) -> torch.Tensor:
    return step.run.noise("tests/tilt")[:, :1, :1, :1]


def estimate(step: Any) -> torch.Tensor:
    return step.run.source_estimate(0)[0].mean((1, 2, 3), keepdim=True)


@pytest.mark.parametrize(
    ("levels", "tilt", "words"),
    [
        ("none", lambda step: float(step.index), "at another step"),
        ("first", lambda step: float(step.index), "at another step"),
        ("first", lambda step: float(step.run.steps), "its first step is the only one"),
        ("none", lambda step: step.run.sigma[0], "with another level, seed and prior"),
        ("none", noise, "with another level, seed and prior"),
        ("none", estimate, "with another level, seed and prior"),
        ("some", lambda step: 0.3, "levels is one of none, first, all, not 'some'"),
    ],
)
def test_a_weighting_that_depends_on_more(
    levels: str, tilt: Callable[[Any], Any], words: str, failures: Failures
) -> None:
    failed = failures(WEIGHTING, lambda: Tilted(levels, tilt))
    assert list(failed) == ["levels_kept"]
    assert words in failed["levels_kept"]
    assert failed["levels_kept"].startswith("weighting broken: ")


@pytest.mark.parametrize(
    ("levels", "tilt"),
    [
        ("none", lambda step: 0.3),
        ("first", lambda step: step.run.sigma[0]),
        ("first", noise),
        ("first", estimate),
        ("all", lambda step: float(step.index)),
    ],
)
def test_one_that_keeps_its_word_passes(
    levels: str, tilt: Callable[[Any], Any], failures: Failures
) -> None:
    assert failures(WEIGHTING, lambda: Tilted(levels, tilt)) == {}


def test_levels_and_a_trajectory_contradict_each_other(failures: Failures) -> None:
    def made() -> ConstantWeights:
        weighting = ConstantWeights()
        weighting.uses_trajectory = True
        return weighting

    assert "uses_trajectory must be False" in failures(WEIGHTING, made)["levels_kept"]


class Drifting(WeightedMean):
    """Goes on from step to step."""

    def start(self, run: Run) -> Any:
        started = super().start(run)
        usual = started.rectify
        started.rectify = lambda step, weights: usual(step, weights) + 0.1 * step.index  # type: ignore[method-assign]
        return started


def test_an_objective_that_depends_on_more(failures: Failures) -> None:
    failed = failures(OBJECTIVE, lambda: Drifting(0.0))
    assert "at another step" in failed["levels_kept"]


@dataclass(frozen=True)
class Conditional:
    mode: Literal["sharp", "flat"] = option("sharp", "Whether the tilt matters.")
    tilt: int = option(1, "How much.", minimum=0, only_with={"mode": ("sharp",)})


@pytest.mark.parametrize("honest", [True, False])
def test_an_option_that_matters_where_it_should_not(honest: bool, failures: Failures) -> None:
    def build(options: Conditional, context: object) -> Tilted:
        flat = honest and options.mode == "flat"
        return Tilted("none", lambda step: 0.0 if flat else 0.5 * options.tilt)

    failed = failures(WEIGHTING, None, options=Conditional, build=build)
    if honest:
        assert failed == {}
    else:
        assert list(failed) == ["conditions_kept"]
        assert "tilt matters with mode sharp only, but with mode flat" in failed["conditions_kept"]
