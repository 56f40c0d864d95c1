"""The mean over a window against naive references."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor

from fusionkit import box_mean, consistent_weights


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


def simplex(*shape: int) -> Tensor:
    return draw(*shape).softmax(0)


@pytest.mark.parametrize("window", [3, 7])
@pytest.mark.parametrize("power", [1.0, 4.0])
def test_consistent_weights_are_their_definition(window: int, power: float) -> None:
    weights = simplex(3, 2, 1, 6, 8)
    found = consistent_weights(weights, window, power).numpy()
    means = np.stack(
        [[[box_means_by_hand(w[0].numpy(), window)] for w in source] for source in weights]
    )
    expected = means**power / (means**power).sum(0)
    assert np.abs(found - expected).max() < 1e-12
    assert np.abs(found.sum(0) - 1).max() < 1e-12


def test_one_pixel_against_its_neighbours_gives_in() -> None:
    chosen = torch.zeros(2, 1, 1, 9, 9)
    chosen[0] = 1
    chosen[:, 0, 0, 4, 4] = torch.tensor([0.0, 1.0])
    assert consistent_weights(chosen, 5)[0].min() > 0.99
    assert torch.equal(consistent_weights(chosen, 1), chosen)


def test_a_border_between_two_sources_stays_where_it_is() -> None:
    chosen = torch.zeros(2, 1, 1, 20, 20)
    chosen[0, ..., :10], chosen[1, ..., 10:] = 1, 1
    found = consistent_weights(chosen, 7)
    assert (found[0, ..., :10] > 0.5).all()
    assert (found[1, ..., 10:] > 0.5).all()
    assert found.min() >= 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_source_of_no_weight_at_all_keeps_none(dtype: torch.dtype) -> None:
    weights = torch.zeros(3, 1, 1, 5, 5, dtype=dtype)
    weights[:2] = 0.5
    found = consistent_weights(weights, 3, 1e6)
    assert found[2].abs().max() == 0
    assert torch.isfinite(found).all()
