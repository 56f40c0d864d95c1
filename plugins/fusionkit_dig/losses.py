"""Loss maps between an estimate of a source and the source: (..., C, H, W) to (..., 1, H, W)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

LossMap = Callable[[Tensor, Tensor], Tensor]


def l2(estimate: Tensor, source: Tensor) -> Tensor:
    """Squared difference, mean over channels."""
    return (estimate - source).square().mean(-3, keepdim=True)


def l1(estimate: Tensor, source: Tensor) -> Tensor:
    """Absolute difference, mean over channels."""
    return (estimate - source).abs().mean(-3, keepdim=True)


def gradient(estimate: Tensor, source: Tensor) -> Tensor:
    """Squared difference of the forward-difference gradients, mean over channels."""
    difference = estimate - source
    right = functional.pad(difference.diff(dim=-1), (0, 1))
    below = functional.pad(difference.diff(dim=-2), (0, 0, 0, 1))
    return (right.square() + below.square()).mean(-3, keepdim=True)


def ssim(estimate: Tensor, source: Tensor) -> Tensor:
    """1 - SSIM over 7 x 7 windows (Wang 2004 with a uniform window), mean over channels.

    The constants are those of a value range of 2, which is that of [-1, 1].
    """
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    means = box_mean(torch.stack([estimate, source, estimate**2, source**2, estimate * source]), 7)
    x, y, xx, yy, xy = means.unbind(0)
    covariance = 2 * (xy - x * y) + c2
    variances = (xx - x * x) + (yy - y * y) + c2
    similarity = (2 * x * y + c1) * covariance / ((x * x + y * y + c1) * variances)
    return (1 - similarity).mean(-3, keepdim=True)


LOSSES: dict[str, LossMap] = {"l2": l2, "l1": l1, "gradient": gradient, "ssim": ssim}


def box_mean(maps: Tensor, window: int) -> Tensor:
    """Mean over a window (odd) around each pixel, over what lies inside the image.

    ``window`` 1 changes nothing; 0 is the mean over the whole image, everywhere.
    """
    if window == 0:
        return maps.mean((-2, -1), keepdim=True).expand_as(maps)
    if window == 1:
        return maps
    flat = maps.flatten(0, -4)
    half = window // 2
    # Rows, then columns: 2w additions a pixel in the place of w².
    for size, padding in (((window, 1), (half, 0)), ((1, window), (0, half))):
        flat = functional.avg_pool2d(flat, size, 1, padding, count_include_pad=False)
    return flat.view_as(maps)
