"""Copies of one image give that image back, whatever is chosen, to within one level."""

from __future__ import annotations

from itertools import cycle, product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fusionkit
from fusionkit import OBJECTIVE, WEIGHTING
from fusionkit.host.parts import Part
from fusionkit.host.pipeline import Pipeline
from tests.host.test_combinations import names

TASKS = fusionkit.tasks()
PAIRS = list(product(names(WEIGHTING), names(OBJECTIVE)))
FEWER = {"steps": 2}  # as many as show that nothing drifts from one to the next
LAYOUTS = [(dtype, colour) for dtype in ("uint8", "uint16") for colour in (False, True)]

REGISTRY = fusionkit.load_plugins()
BUILT: dict[str, Part] = {}  # so that a network is read once


def composed(**choices: Any) -> Pipeline:
    return fusionkit.compose(registry=REGISTRY, built=BUILT, device="cpu", **choices)


def image(dtype: str, colour: bool, seed: int, height: int = 57, width: int = 70) -> NDArray[Any]:
    """Waves and noise, and black and white blocks whose edges no denoiser leaves alone."""
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    scene = np.sin(columns / draw.uniform(1, 8)) + np.cos(rows / draw.uniform(1, 8))
    scene = 0.5 + 0.2 * scene + 0.1 * draw.standard_normal((height, width))
    scene[10:25, 8:30], scene[30:44, 20:60] = 1, 0
    planes = [scene, np.roll(scene, 3, 0), 1 - scene] if colour else [scene]
    top = np.iinfo(dtype).max
    return (np.stack(planes, -1).squeeze().clip(0, 1) * top).round().astype(dtype)


def check(pipeline: Pipeline, count: int, dtype: str, colour: bool, seed: int) -> None:
    one = image(dtype, colour, seed)
    result = fusionkit.fuse([one] * count, pipeline=pipeline).image
    assert result.dtype == one.dtype
    assert np.abs(result.astype(int) - one.astype(int)).max() <= 1


pytestmark = pytest.mark.filterwarnings("ignore::fusionkit.FusionkitWarning")


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "colour"), LAYOUTS)
@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("task", TASKS)
def test_every_recipe(task: str, count: int, dtype: str, colour: bool) -> None:
    check(composed(task=task), count, dtype, colour, seed=count)


# Every pair in one task, layout and number of copies after another.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("pair", "task", "count", "layout"),
    list(zip(PAIRS, cycle(TASKS), cycle((2, 3, 5)), cycle(LAYOUTS), strict=False)),
    ids=str,
)
def test_every_weighting_with_every_objective(
    pair: tuple[str, str], task: str, count: int, layout: tuple[str, bool]
) -> None:
    weighting, objective = pair
    pipeline = composed(task=task, weighting=weighting, objective=objective, **FEWER)
    check(pipeline, count, *layout, seed=count)


@pytest.mark.parametrize("base", ["weights", "mean", "max", "exposure", "tone", "saliency"])
@pytest.mark.parametrize("hidden", [0.0, 1.0])
def test_every_base(base: str, hidden: float) -> None:
    table = {"name": "gradients", "base": base, "hidden": hidden, "psi": 50.0}
    pipeline = composed(estimator="gaussian", weighting="saliency", objective=table)
    check(pipeline, 3, "uint16", False, seed=0)


@pytest.mark.slow
def test_what_is_a_little_different_is_fused_into_what_is_a_little_different() -> None:
    draw = np.random.default_rng(5)
    one = image("uint8", False, 1)
    other = (one.astype(int) + draw.integers(-1, 2, one.shape)).clip(0, 255).astype(np.uint8)
    for task in TASKS:
        result = fusionkit.fuse([one, other], pipeline=composed(task=task)).image.astype(int)
        assert np.abs(result - one).max() <= 8
