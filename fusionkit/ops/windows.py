"""Means over windows, fast on any device and differentiable; and weights made to agree by them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def image_mean(maps: Tensor, dims: tuple[int, ...] = (-2, -1), *, keepdim: bool = False) -> Tensor:
    """Mean over images, or over several axes of which the last is one, whatever the threads.

    torch divides one long sum among threads, so that the last bits of a plain mean depend on their
    number. Rows are summed first here, by one thread each, then their means.

    Parameters
    ----------
    maps
        (..., H, W), of any size.
    dims
        The axes to average over, the last among them.
    keepdim
        Whether they stay, of length one.
    """
    return maps.mean(-1, keepdim=True).mean(dims, keepdim=keepdim)


def box_mean(maps: Tensor, window: int) -> Tensor:
    """Mean over a window around each pixel, over what lies inside the image.

    Parameters
    ----------
    maps
        (..., H, W), of any size.
    window
        Side in pixels, odd; 1 changes nothing, 0 is the mean over the whole image, everywhere.

    Returns
    -------
    Tensor
        As ``maps``.

    Raises
    ------
    ValueError
        The window is even or below zero.
    """
    if window == 0:
        return image_mean(maps, keepdim=True).expand_as(maps)
    if window == 1:
        return maps
    if window < 0 or window % 2 == 0:
        raise ValueError(f"a window has an odd side, not {window}")
    height, width = maps.shape[-2:]
    inside = _inside(height, window, maps)[:, None] * _inside(width, window, maps)
    return _window_sum(_window_sum(maps, window, -2), window, -1) / inside


def consistent_weights(weights: Tensor, window: int, power: float = 4.0) -> Tensor:
    """Make neighbours agree on a source: average weights over a window, and sharpen them again.

    w_k becomes (G w_k)^p / Σ_j (G w_j)^p, G the mean over the window: each pixel takes what most
    of its neighbours chose. This is the consistency verification of Li, Manjunath and
    Mitra, "Multisensor image fusion using the wavelet transform", Graphical Models
    and Image Processing 57 (1995) 235-245, section 3, with weights instead of choices.

    Parameters
    ----------
    weights
        (K, ..., H, W), >= 0, summing to 1 over K.
    window
        As for :func:`box_mean`; 1 changes nothing.
    power
        p; 1 only smooths.

    Returns
    -------
    Tensor
        As ``weights``.
    """
    if window == 1:
        return weights
    shares = box_mean(weights, window)
    sharpened = raised(shares / shares.amax(0), power)
    return sharpened / sharpened.sum(0)


def raised(shares: Tensor, power: float) -> Tensor:
    """Return shares (>= 0) to a power, whatever the threads; 0 to the power of 0 is 1.

    By logarithms: torch's own power is rounded otherwise where a thread's part of a tensor ends.
    """
    return torch.xlogy(power, shares).exp_()


def _inside(length: int, window: int, like: Tensor) -> Tensor:
    """Return how many places of a window around each place of an axis lie on it."""
    before = torch.arange(length, dtype=like.dtype, device=like.device).clamp_(max=window // 2)
    return before + before.flip(0) + 1


def _window_sum(maps: Tensor, window: int, dim: int) -> Tensor:
    """Sum over a window (odd) around each place of one axis, over what lies inside.

    Sums over 2, 4, 8 ... places are made of one another: about 2 log2(window) additions a
    pixel instead of window, three times as fast as avg_pool2d for a window of 11.
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
