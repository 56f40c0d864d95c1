"""The eight conditions of CCF, for any number of weighted sources.

Each is a function of the fused image f (B, C, H, W), as :class:`Maps`, and returns its loss per
image, (B,): a mean over pixels and channels, 0 where f meets it, differentiable in f. What
depends on sources and weights alone is computed before. w_k are the weights; at a
pixel, r_k = w_k / max_j w_j is a source's share relative to the strongest.

Conditions: Cao et al., Conditional Controllable Image Fusion, NeurIPS 2024.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from fusionkit import box_mean, image_mean
from fusionkit.ops import ssim_map

from .differences import gradient

SOFTNESS = 1e-3
"""Rounds off roots at zero, where they have no slope: far below 2/255."""

NAMES = ("ssim", "mse", "edges", "haar-low", "haar-high", "sf", "ei", "sd")


class Maps:
    """An image, and maps of it that several conditions look at: each is computed once.

    Parameters
    ----------
    image
        (..., C, H, W).
    """

    def __init__(self, image: Tensor) -> None:
        self.image = image

    @cached_property
    def edges(self) -> Tensor:
        """:func:`edge_strength`, shaped as the image."""
        return edge_strength(self.image)

    @cached_property
    def bands(self) -> Tensor:
        """:func:`haar`, (..., 4, C, H, W)."""
        return haar(self.image)


Condition = Callable[[Maps], Tensor]


def conditions(sources: Tensor, weights: Tensor, marks: bool = True) -> tuple[Condition, ...]:
    """Return the conditions, in the order of ``NAMES``.

    Parameters
    ----------
    sources
        (K, B, C, H, W).
    weights
        (K, B, 1, H, W), summing to 1 over K.
    marks
        Whether SF, EI and SD have a mark that is enough; otherwise they are losses of their
        negative value, and more is always better.
    """
    relative = weights / weights.amax(0)
    maps, coarse = Maps(sources), average_2x2(weights)
    edges = (relative * maps.edges).amax(0)
    low, high = maps.bands[..., 0, :, :, :], maps.bands[..., 1:, :, :, :]
    # Nearly choose-max where one source has the detail, and no matter which comes first.
    energy = coarse.unsqueeze(-4) * (high.square() + SOFTNESS**4)
    detail = (energy * high).sum(0) / energy.sum(0)
    share = image_mean(weights, (2, 3, 4))
    share = share / share.amax(0)
    similar = similarity(sources, weights)

    def best(statistic: Callable[[Maps], Tensor]) -> Condition:
        if not marks:
            return lambda f: -statistic(f)
        target = (share * statistic(maps)).amax(0)
        return lambda f: (target - statistic(f)).clamp_min(0).square() / 2

    return (
        similar,
        lambda f: _mean((weights * (f.image - sources).square()).sum(0)) / 2,
        lambda f: _mean((f.edges - edges).square()) / 2,
        lambda f: _mean((coarse * (f.bands[..., 0, :, :, :] - low).square()).sum(0)) / 2,
        lambda f: _mean((f.bands[:, 1:] - detail).square().sum(1)) / 2,
        best(spatial_frequency),
        best(edge_intensity),
        best(standard_deviation),
    )


def similarity(sources: Tensor, weights: Tensor) -> Condition:
    """Return Σ_k w_k (1 - SSIM(f, c_k)), averaged over the image.

    Wang et al., IEEE TIP 13, 600 (2004), with a uniform window of 7 x 7 pixels. At the
    border it is cut off, so that any size will do: below 4 x 4 it is the whole image.
    """
    y = box_mean(sources, 7)
    yy = box_mean(sources.square(), 7) - y.square()

    def condition(maps: Maps) -> Tensor:
        f = maps.image
        means = box_mean(torch.cat([torch.stack([f, f.square()]), f * sources]), 7)
        x, xx, xy = means[0], means[1], means[2:]
        similar = ssim_map(x, y, xx - x.square(), yy, xy - x * y, span=2)
        return _mean((weights * (1 - similar)).sum(0))

    return condition


def spatial_frequency(of: Maps) -> Tensor:
    """Root mean square of the first differences along rows and columns: SF."""
    right, below = gradient(of.image)
    return (_mean(right.square() + below.square()) + SOFTNESS**2).sqrt()


def edge_intensity(of: Maps) -> Tensor:
    """Mean magnitude of the Sobel gradient: EI."""
    return _mean(of.edges)


def standard_deviation(of: Maps) -> Tensor:
    """Root mean square distance of all values of an image to their mean: SD."""
    image = of.image
    # Its slope is zero, whatever the mean's: distances to the mean sum to nothing.
    middle = image_mean(image.detach(), (-3, -2, -1), keepdim=True)
    return (_mean((image - middle).square()) + SOFTNESS**2).sqrt()


def edge_strength(image: Tensor) -> Tensor:
    """Magnitude of the Sobel gradient, per unit step of one pixel, mirrored at the border."""
    around = _extend(image, 1)
    down = (around[..., :-2, :] + 2 * around[..., 1:-1, :] + around[..., 2:, :]) / 8
    along = (around[..., :, :-2] + 2 * around[..., :, 1:-1] + around[..., :, 2:]) / 8
    x, y = down[..., 2:] - down[..., :-2], along[..., 2:, :] - along[..., :-2, :]
    return (x.square() + y.square() + SOFTNESS**2).sqrt()


def haar(image: Tensor) -> Tensor:
    """Return the four undecimated Haar bands of each 2 x 2 window, (..., 4, C, H, W), low first.

    Undecimated, so that neither the parity of the size nor the grid matters; the
    last row and column are doubled.
    """
    around = pad(image.flatten(0, -4), (0, 1, 0, 1), mode="replicate")
    around = around.view(*image.shape[:-2], image.shape[-2] + 1, image.shape[-1] + 1)
    a, b = around[..., :-1, :-1], around[..., :-1, 1:]
    c, d = around[..., 1:, :-1], around[..., 1:, 1:]
    bands = (a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d)
    return torch.stack(bands, -4) / 4


def average_2x2(weights: Tensor) -> Tensor:
    """Return the means over the windows of :func:`haar`."""
    return haar(weights)[..., 0, :, :, :]


def _extend(image: Tensor, by: int) -> Tensor:
    flat = pad(image.flatten(0, -4), (by, by, by, by), mode="replicate")
    return flat.view(*image.shape[:-2], *flat.shape[-2:])


def _mean(maps: Tensor) -> Tensor:
    return image_mean(maps, (-3, -2, -1))
