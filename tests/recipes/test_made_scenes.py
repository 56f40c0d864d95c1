"""What the recipes make of scenes that are drawn: black grounds, hot spots, plain walls."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

import fusionkit
from fusionkit.imaging.luma import luma_of
from fusionkit.recipes.finding import tasks

Image = NDArray[np.uint8]

SIZE = 128
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]
RADIUS = np.hypot(ROWS - SIZE / 2, (COLUMNS - SIZE / 2) * 1.15)
GROUND = RADIUS > 52
SPOT = np.hypot(ROWS - 52, COLUMNS - 70) < 6
RING = (np.hypot(ROWS - 52, COLUMNS - 70) < 11) & (np.hypot(ROWS - 52, COLUMNS - 70) > 8)


def slice_of_mri() -> Image:
    """Return a slice (H, W): white fat around grey tissue with folds, on black."""
    folds = 20 * np.sin(COLUMNS / 6) * np.cos(ROWS / 7)
    tissue = np.where(RADIUS > 44, 235, 110 + folds)
    return np.where(GROUND, 0, tissue).astype(np.uint8)


def slice_of_ct() -> Image:
    """Return a slice (H, W): bone, and hardly anything inside, on black."""
    return np.where(GROUND, 0, np.where(RADIUS > 46, 250, 30)).astype(np.uint8)


def slice_of_pet() -> Image:
    """Return a slice (H, W, 3) in false colour: blue tissue, and a hot spot, on black."""
    plain = np.where(GROUND[..., None], 0, np.array([20, 30, 90]))
    return np.where(SPOT[..., None], np.array([255, 190, 40]), plain).astype(np.uint8)


@cache
def fused(task: str, other: str) -> Image:
    sources = [slice_of_mri(), slice_of_pet() if other == "pet" else slice_of_ct()]
    return np.asarray(fusionkit.fuse(sources, task=task).pixels)


@pytest.mark.parametrize("other", ["ct", "pet"])
@pytest.mark.parametrize("task", tasks())
def test_black_ground_stays_black(task: str, other: str) -> None:
    pixels = fused(task, other)
    assert pixels[GROUND].max() <= 1
    assert pixels[~GROUND].max() > 150


def test_a_hot_spot_of_pet_keeps_its_contrast_and_its_colour() -> None:
    pixels = fused("medical", "pet")
    pet = slice_of_pet()
    luma, own = luma_of(pixels), luma_of(pet)
    contrast = luma[SPOT].mean() - luma[RING].mean()
    assert contrast > 0.6 * (own[SPOT].mean() - own[RING].mean())
    red, green, blue = pixels[SPOT].mean(0)
    assert red > green + 30 > blue + 60


@pytest.mark.parametrize("task", ["general", "multi-exposure"])
def test_a_plain_wall_has_no_patches_of_colour(task: str) -> None:
    """A wall in one colour under a lamp, twice as bright in the second source, and noise of it."""
    random = np.random.default_rng(0)
    light = 0.15 + 0.5 * np.exp(-((COLUMNS - 40) ** 2 + (ROWS - 30) ** 2) / 4000)
    wall = light[..., None] * np.array([1.0, 0.85, 0.6])
    sources = [
        np.rint(np.clip(255 * share * wall + random.normal(0, 1, wall.shape), 0, 255))
        for share in (0.6, 1.2)
    ]
    pixels = np.asarray(fusionkit.fuse([s.astype(np.uint8) for s in sources], task=task).pixels)
    smooth = pixels[:120, :120].reshape(15, 8, 15, 8, 3).mean((1, 3))
    hue = smooth[..., 2] / smooth[..., 0]
    own = [s[:120, :120].reshape(15, 8, 15, 8, 3).mean((1, 3)) for s in sources]
    least, most = (f([o[..., 2] / o[..., 0] for o in own]) for f in (np.min, np.max))
    assert least - 0.03 < hue.min()
    assert hue.max() < most + 0.03
    steps = np.abs(np.diff(hue, axis=0)).max(), np.abs(np.diff(hue, axis=1)).max()
    assert max(steps) < 0.05
