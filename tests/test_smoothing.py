"""The mean over a window against naive references."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor

from fusionkit import box_mean


def draw(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def box_means_by_hand(image: np.ndarray, window: int) -> np.ndarray:
    half = window // 2
    out = np.empty_like(image)
    for y, x in itertools.product(*map(range, image.shape)):
        top, left = max(0, y - half), max(0, x - half)
        out[y, x] = image[top : y + half + 1, left : x + half + 1].mean()
    return out


@pytest.mark.parametrize("window", [3, 5, 11])
@pytest.mark.parametrize(("height", "width"), [(12, 13), (4, 9), (2, 2)])
def test_box_mean_is_the_mean_of_what_lies_inside(window: int, height: int, width: int) -> None:
    maps = draw(2, 1, 1, height, width)
    found = box_mean(maps, window).numpy()
    for n in range(2):
        image = maps[n, 0, 0].numpy()
        assert np.abs(found[n, 0, 0] - box_means_by_hand(image, window)).max() < 1e-12
        half = window // 2
        inside = slice(half, height - half), slice(half, width - half)
        smoothed = scipy.ndimage.uniform_filter(image, window)[inside]
        assert smoothed.size == 0 or np.abs(found[n, 0, 0][inside] - smoothed).max() < 1e-12


def test_box_mean_of_one_pixel_and_of_all() -> None:
    maps = draw(2, 3, 1, 5, 6)
    assert torch.equal(box_mean(maps, 1), maps)
    whole = box_mean(maps, 0)
    assert whole.shape == maps.shape
    assert (whole - maps.mean((-2, -1), keepdim=True)).abs().max() < 1e-12


def test_box_mean_is_differentiable() -> None:
    maps = draw(2, 4, 5).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda maps: box_mean(maps, 3), maps)


@pytest.mark.parametrize("window", [-1, 2, 10])
def test_windows_are_odd(window: int) -> None:
    with pytest.raises(ValueError, match=f"not {window}"):
        box_mean(draw(4, 4), window)
