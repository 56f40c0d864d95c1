"""Windows, gradients and borders that several metrics share. Images are (..., H, W) float64."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

_BLOCK = 32


def gaussian(size: int, sigma: float, *, normalised: bool = True) -> tuple[float, ...]:
    """Sample a Gaussian at ``size`` points around 0.

    Not normalised to sum 1, it is the density exp(-x²/2σ²) / √(2π)σ.
    """
    values = [math.exp(-((i - (size - 1) / 2) ** 2) / (2 * sigma**2)) for i in range(size)]
    total = sum(values) if normalised else math.sqrt(2 * math.pi) * sigma
    return tuple(value / total for value in values)


def box(size: int) -> tuple[float, ...]:
    """Uniform window of sum 1."""
    return (1 / size,) * size


def smooth(maps: Tensor, taps: tuple[float, ...], step: int = 1) -> Tensor:
    """Filter rows and columns with a symmetric window, where it lies inside the image.

    Parameters
    ----------
    maps : Tensor
        (..., H, W).
    taps : tuple of float
        The window, n values.
    step : int
        Every how many pixels, in both directions, from the first on; others are not computed.

    Returns
    -------
    Tensor
        (..., H - n + 1, W - n + 1) for a step of 1, else a step-th of that, rounded up.

    Notes
    -----
    As products with banded matrices, block by block: in float64 on a CPU, many
    times faster than ``conv2d``, and never slower than sums of shifted images.
    """
    return filter_rows(filter_columns(maps, taps, step), taps, step)


def filter_columns(maps: Tensor, taps: tuple[float, ...], step: int = 1) -> Tensor:
    """Filter along W, valid part: (..., H, W) to (..., H, W - n + 1), or every step-th of it."""
    # Blocks of columns overlap, which a product would copy; as rows of the transposed they do not.
    return filter_rows(maps.transpose(-1, -2), taps, step).transpose(-1, -2)


def filter_rows(maps: Tensor, taps: tuple[float, ...], step: int = 1) -> Tensor:
    """Filter along H, valid part: (..., H, W) to (..., H - n + 1, W), or every step-th of it."""
    n, height = len(taps), maps.shape[-2]
    blocks, rest = divmod((height - n) // step + 1, _BLOCK)
    parts = []
    if blocks:
        windows = maps.unfold(-2, step * (_BLOCK - 1) + n, step * _BLOCK).transpose(-1, -2)
        parts.append((_band(taps, _BLOCK, step, maps.device).T @ windows).flatten(-3, -2))
    if rest:
        first = step * _BLOCK * blocks
        left = maps[..., first : first + step * (rest - 1) + n, :]
        parts.append(_band(taps, rest, step, maps.device).T @ left)
    return parts[0] if len(parts) == 1 else torch.cat(parts, -2)


@lru_cache(maxsize=64)
def _band(taps: tuple[float, ...], outputs: int, step: int, device: torch.device) -> Tensor:
    """Make the matrix (step (outputs - 1) + n, outputs) that correlates with ``taps``."""
    band = torch.zeros(step * (outputs - 1) + len(taps), outputs, dtype=torch.float64)
    for j in range(outputs):
        band[step * j : step * j + len(taps), j] = torch.tensor(taps, dtype=torch.float64)
    return band.to(device)


def pad_zero(maps: Tensor, margin: int) -> Tensor:
    """Surround with zeros."""
    return torch.nn.functional.pad(maps, (margin,) * 4)


def extend(maps: Tensor, before: int, after: int, dim: int, mode: str) -> Tensor:
    """Extend one axis beyond its borders, by any length.

    ``mode``: ``replicate`` (aaa|abc|ccc), ``reflect`` (cb|abc|ba) or
    ``symmetric`` (ba|abc|cb).
    """
    n = maps.shape[dim]
    index = torch.arange(-before, n + after, device=maps.device)
    if mode == "replicate":
        index = index.clamp(0, n - 1)
    elif mode == "symmetric":
        index = index.remainder(2 * n)
        index = torch.minimum(index, 2 * n - 1 - index)
    else:
        index = index.remainder(2 * n - 2)
        index = torch.minimum(index, 2 * n - 2 - index)
    return maps.index_select(dim, index)


def bordered(maps: Tensor, mode: str) -> Tensor:
    """Extend by one pixel on every side: ``zero``, or a mode of :func:`extend`."""
    if mode == "zero":
        return pad_zero(maps, 1)
    return extend(extend(maps, 1, 1, -1, mode), 1, 1, -2, mode)


def gradients(maps: Tensor, border: str, centre: float = 2.0) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical derivative, 3 x 3, at every pixel.

    ``centre`` 2 is Sobel's operator, with rows 1 2 1; 1 is Prewitt's. They are
    not divided by the sum of their weights.
    """
    wide = bordered(maps, border)
    rows = torch.add(wide[..., :-2, :] + wide[..., 2:, :], wide[..., 1:-1, :], alpha=centre)
    columns = torch.add(wide[..., :-2] + wide[..., 2:], wide[..., 1:-1], alpha=centre)
    return rows[..., 2:] - rows[..., :-2], columns[..., 2:, :] - columns[..., :-2, :]
