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
    squares = torch.zeros_like(difference)
    squares[..., :-1] += difference.diff(dim=-1).square()
    squares[..., :-1, :] += difference.diff(dim=-2).square()
    return squares.mean(-3, keepdim=True)


def ssim(estimate: Tensor, source: Tensor) -> Tensor:
    """1 - SSIM over 7 x 7 windows (Wang 2004 with a uniform window), mean over channels.

    The constants are those of a value range of 2, which is that of [-1, 1].
    """
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    products = estimate, source, estimate**2, source**2, estimate * source
    x, y, xx, yy, xy = (box_mean(product, 7) for product in products)
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
    height, width = maps.shape[-2:]
    inside = _window_sum(maps.new_ones(height, 1), window, -2)
    inside = inside * _window_sum(maps.new_ones(1, width), window, -1)
    return _window_sum(_window_sum(maps, window, -2), window, -1) / inside


def _window_sum(maps: Tensor, window: int, dim: int) -> Tensor:
    """Sum over a window (odd) around each place of one axis, over what lies inside.

    Sums over 2, 4, 8 ... places are made of one another: about 2 log2(window) additions a
    pixel in the place of window, three times as fast as avg_pool2d for a window of 11.
    """
    half = window // 2
    length = maps.shape[dim]
    power = functional.pad(maps, (half, half) if dim == -1 else (0, 0, half, half))
    total: Tensor | None = None
    begin, size = 0, 1
    while True:
        if window & size:
            piece = power.narrow(dim, begin, length)
            total = piece if total is None else total + piece
            begin += size
        if 2 * size > window:
            assert total is not None
            return total
        rest = power.shape[dim] - size
        power = power.narrow(dim, 0, rest) + power.narrow(dim, size, rest)
        size *= 2
