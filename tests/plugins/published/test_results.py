"""What the recipes of published methods return: something of both sources, and not their mean."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data, filters

import fusionkit

pytestmark = pytest.mark.slow

Image = NDArray[np.float64]
RECIPES = ("ddfm", "ccf", "dig2dig", "dig2dig-scaled")


def thermal() -> tuple[Image, Image]:
    """A photograph, and what is warm of it: the dark coat, and spots that the other has not."""
    visible = data.camera()[60:252:3, 180:372:3] / 255
    spots = np.zeros_like(visible)
    spots[8:56:12, 6:60:9] = 1
    warm = filters.gaussian(visible < 0.2, 1) * 0.6 + filters.gaussian(spots, 1.5) * 8 + 0.1
    return warm.clip(0, 1), visible


def focus() -> tuple[Image, Image]:
    """Two settings of focus, left and right."""
    sharp = data.camera()[60:124, 180:244] / 255
    blurred = filters.gaussian(sharp, 2.5)
    left = np.arange(64) < 32
    return np.where(left, sharp, blurred), np.where(left, blurred, sharp)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("scene", [thermal, focus])
def test_neither_source_nor_the_mean_comes_back(
    recipe: str, scene: Callable[[], tuple[Image, Image]]
) -> None:
    sources = [image.astype(np.float32) for image in scene()]
    fused = fusionkit.fuse(sources, recipe=recipe, device="cpu").image
    apart = np.abs(sources[0] - sources[1]).mean()
    for copied in (*sources, (sources[0] + sources[1]) / 2):
        assert np.abs(fused - copied).mean() > 0.1 * apart


@pytest.mark.parametrize("seed", [0, 1])
def test_learned_scales_return_a_copy_where_equal_ones_do_not(seed: int) -> None:
    sources = [image.astype(np.float32) for image in thermal()]
    apart = np.abs(sources[0] - sources[1]).mean()
    nearest = []
    for scales in ("learned", "fixed"):
        objective = {"name": "objectives:ddfm-em", "scales": scales, "iterations": 10}
        fused = fusionkit.fuse(
            sources, recipe="ddfm", objective=objective, steps=25, seed=seed, device="cpu"
        ).image
        nearest.append(min(np.abs(fused - source).mean() / apart for source in sources))
    assert nearest[0] < 0.02
    assert nearest[1] > 0.1
