"""What stands out in one source keeps its contrast: hot objects, lamps, tracer in a scan."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from fusionkit import box_mean

REDUCED_SIDE = 128
"""Pixels: surrounds are looked at in an image whose shorter side is about that long."""

WINDOWS = (0.12, 0.25)
"""Sides of the surround, of the shorter side: what is smaller than about that is a target."""

STANDS_OUT = (3.0, 5.0)
"""Robust standard deviations from which on a pixel begins to count as a target, and is one."""

LEAST = 0.08
"""Contrast that is none, of values in [-1, 1]: ten grey levels of 8 bits."""

FINE = 3
"""Side in pixels of the mean that takes the noise off a pixel that is compared."""

NOTHING = 1e-3
"""Share of a window: less of it is no surround, or no target."""


def kept_targets(image: Tensor, sources: Tensor, weights: Tensor, share: float) -> Tensor:
    """Return an image in which what stands out in a source stands out by a share of that.

    A pixel of a source is part of a target as far as a mean of 3 x 3 pixels around it is brighter
    than what is on both sides of it, along at least two of four lines through it. A side is a
    mean over half a window, half a window away; there are two windows, of 0.12 and 0.25 of the
    shorter side. It begins at 3 robust standard deviations (1.4826 times the median of
    |c - G c|), 10 grey levels at least, and is full at 5: m_k, from 0 to 1. An edge, however
    high, has no darker side beyond it, and is none. This is the local contrast of Chen, Li, Wei,
    Xia and Tang (IEEE Trans. Geosci. Remote Sens. 52, 2014, 574-581), which asks for all eight
    neighbouring cells, for targets that may be longer than wide. Then, with S the mean over the
    window without targets, and I that over the targets within a quarter of it,

        image + max_k m_k max(0, share I(c_k - S c_k) - I(image - S image)):

    the target is raised as one, with the detail that the image has; nothing beside it changes.
    A source whose weights are zero all over the image has no targets.

    Parameters
    ----------
    image
        (B, C, H, W), in about [-1, 1].
    sources, weights
        (K, B, C, H, W) and (K, B, 1, H, W).
    share
        Of the contrast in the source, from 0 to 1.

    Returns
    -------
    Tensor
        (B, C, H, W); channels are raised alike.
    """
    present = weights.amax((-2, -1), keepdim=True) > 0
    grey = sources.mean(2, keepdim=True)
    smooth = box_mean(grey, FINE)
    factor = max(1, min(image.shape[-2:]) // REDUCED_SIDE)
    small = _reduced(grey, factor)
    for part in WINDOWS:
        window = max(3, int(part * min(small.shape[-2:])) // 2 * 2 + 1)
        spread = (small - _twice(small, window)).abs().flatten(-3).median(-1).values
        unit = (1.4826 * spread).clamp_min(LEAST / STANDS_OUT[0])[..., None, None, None]
        above = (smooth - _enlarged(_beside(small, window), factor, smooth)) / unit
        begin, full = STANDS_OUT
        target = ((above - begin) / (full - begin)).clamp(0, 1) * present
        lacking = _lacking(image.mean(1, keepdim=True), grey, small, target, factor, window, share)
        image = image + (target * _enlarged(lacking, factor, smooth)).amax(0)
    return image


def _lacking(
    image: Tensor,
    grey: Tensor,
    small: Tensor,
    target: Tensor,
    factor: int,
    window: int,
    share: float,
) -> Tensor:
    """Return by how much targets are too dark, (K, B, 1, h, w), in the reduced image."""
    marked = _reduced(target, factor)
    ground = (1 - marked.amax(0)).clamp_min(NOTHING)
    extent = _twice(ground, window)

    def contrast(of: Tensor, reduced: Tensor) -> Tensor:
        surround = _twice(ground * reduced, window) / extent
        inside = _twice(_reduced(target * of, factor) - marked * surround, near)
        return inside / (_twice(marked, near) + NOTHING)

    near = max(3, window // 4 // 2 * 2 + 1)
    own = contrast(grey, small)
    return (share * own - contrast(image, _reduced(image, factor))).clamp_min(0)


def _beside(small: Tensor, window: int) -> Tensor:
    """Return the brighter of two sides along the line that has the second darkest of these."""
    cell = max(3, window // 2 // 2 * 2 + 1)
    away = (window + 1) // 2
    aslant = round(away / 2**0.5)
    cells = pad(box_mean(small, cell).flatten(0, 1), (away,) * 4, mode="replicate")
    height, width = small.shape[-2:]

    def side(down: int, across: int) -> Tensor:
        found = cells[..., away + down :, away + across :][..., :height, :width]
        return found.reshape(small.shape)

    lines = ((0, away), (away, 0), (aslant, aslant), (aslant, -aslant))
    brighter = [torch.maximum(side(*line), side(-line[0], -line[1])) for line in lines]
    # The second smallest of four.
    one, two, three, four = brighter
    least = torch.maximum(torch.minimum(one, two), torch.minimum(three, four))
    most = torch.minimum(torch.maximum(one, two), torch.maximum(three, four))
    return torch.minimum(least, most)


def _reduced(maps: Tensor, factor: int) -> Tensor:
    """Return means over blocks of factor x factor pixels; the last may be smaller."""
    if factor == 1:
        return maps
    flat = maps.flatten(0, -4)
    small: Tensor = avg_pool2d(flat, factor, ceil_mode=True, count_include_pad=False)
    return small.view(*maps.shape[:-2], *small.shape[-2:])


def _enlarged(maps: Tensor, factor: int, like: Tensor) -> Tensor:
    """Return reduced maps (K, B, 1, h, w) at the size of others, bilinearly."""
    if factor == 1:
        return maps
    whole: Tensor = interpolate(
        maps.flatten(0, 1), scale_factor=factor, mode="bilinear", align_corners=False
    )
    return whole[..., : like.shape[-2], : like.shape[-1]].view(*maps.shape[:3], *like.shape[-2:])


def _twice(maps: Tensor, window: int) -> Tensor:
    return box_mean(box_mean(maps, window), window)
