"""The recipes of published methods, step by step, against what their papers say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fusionkit import SampledStep, compose
from fusionkit.testing.doubles import WhiteGaussian

from ..objectives.common import draw
from . import transcription as paper

H, W = 6, 5
STEPS = 6
SOURCES = draw(2, 1, 1, H, W)
FIRST, SECOND = SOURCES[:, 0, 0].numpy()


def steps_of(recipe: str, **how: Any) -> list[SampledStep]:
    pipe = compose(
        recipe=recipe,
        estimator=WhiteGaussian(paper.V**0.5),
        steps=STEPS,
        device="cpu",
        precision="float64",
        **how,
    )
    return list(pipe.steps(SOURCES, seed=3))


def agree(done: list[SampledStep], expected: list[paper.Array], within: float) -> None:
    assert len(done) == len(expected) == STEPS
    for step, f in zip(done, expected, strict=True):
        assert np.abs(step.corrected[0, 0].numpy() - f).max() < within


def start(done: list[SampledStep]) -> tuple[paper.Array, tuple[float, ...]]:
    """The noise that both begin with, and the levels."""
    return done[0].step.x[0, 0].numpy(), done[0].step.run.sigma


def test_ddfm() -> None:
    done = steps_of("ddfm")
    x, sigmas = start(done)
    halves = [[np.full((H, W), 0.5)] * 2] * STEPS
    agree(done, paper.ddim(x, sigmas, paper.Ddfm(FIRST, SECOND, halves), uncorrected=False), 1e-9)


def test_dig2dig() -> None:
    stride = 4
    options = {"loss": "l2", "granularity": "pixel", "activation": "softmax", "scale": 1.0}
    done = steps_of("dig2dig", weighting={"name": "dig:dig", **options, "stride": stride})
    x, sigmas = start(done)
    noise = done[0].step.run.noise("fusionkit/sources")[0, 0].double().numpy()
    weights = paper.dig_weights((FIRST, SECOND), noise, sigmas, stride)
    for step, expected in zip(done, weights, strict=True):
        assert np.abs(step.weights[:, 0, 0].numpy() - np.stack(expected)).max() < 1e-9
    correct = paper.Ddfm(FIRST, SECOND, weights)
    agree(done, paper.ddim(x, sigmas, correct, uncorrected=False), 1e-8)


def test_ccf() -> None:
    done = steps_of("ccf")
    x, sigmas = start(done)
    agree(done, paper.ddim(x, sigmas, paper.Ccf(FIRST, SECOND), uncorrected=True), 1e-5)


@pytest.mark.parametrize(
    ("recipe", "steps", "nfe"),
    [("ddfm", 100, 100), ("ccf", 200, 200), ("dig2dig", 25, 31), ("dig2dig-scaled", 25, 51)],
)
def test_steps_and_evaluations_are_those_that_the_recipe_states(
    recipe: str, steps: int, nfe: int
) -> None:
    pipe = compose(recipe=recipe, estimator=WhiteGaussian(), device="cpu")
    fused = pipe(SOURCES.float())
    assert (pipe.settings.steps, pipe.settings.start_sigma, fused.nfe) == (steps, 157.0, nfe)


def test_the_noise_of_the_uncorrected_estimate_lets_a_correction_count_whole() -> None:
    moved = []
    for of in ("corrected", "uncorrected"):
        sampler = {"name": "samplers:ddim", "noise-of": of}
        first, second, *_ = steps_of("ddfm", sampler=sampler)
        sigma, after = first.step.run.sigma[:2]
        plain = first.step.x0 + after / sigma * (first.step.x - first.step.x0)
        moved.append(second.step.x - plain)
        correction = first.corrected - first.step.x0
    assert (moved[0] - (1 - after / sigma) * correction).abs().max() < 1e-9
    assert (moved[1] - correction).abs().max() < 1e-9
