"""Windows, gradients and borders that several metrics share. Images are (..., H, W) float64."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

# Outputs of a product with a banded matrix, and pixels of a strip.
_BLOCK = 32
_STRIP = 16384


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


def strips(height: int, width: int) -> Iterator[slice]:
    """Cut rows into strips, whose maps stay in the cache from one operation to the next."""
    rows = max(_BLOCK // 2, _STRIP // width)
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


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
    n = len(taps)
    height, width = ((side - n) // step + 1 for side in maps.shape[-2:])
    parts = []
    for rows in strips(height, width):
        read = slice(step * rows.start, step * (rows.stop - 1) + n)
        parts.append(filter_columns(filter_rows(maps[..., read, :], taps, step), taps, step))
    return parts[0] if len(parts) == 1 else torch.cat(parts, -2)


def filter_columns(maps: Tensor, taps: tuple[float, ...], step: int = 1) -> Tensor:
    """Filter along W, valid part: (..., H, W) to (..., H, W - n + 1), or every step-th of it."""
    n, outputs = len(taps), (maps.shape[-1] - len(taps)) // step + 1
    lines = maps.reshape(-1, maps.shape[-1])
    blocks = outputs // _BLOCK
    whole = blocks * _BLOCK
    parts = []
    if blocks:  # all at once: an operation of its own for each takes twice as long
        band = _band(taps, _BLOCK, step, maps.device)
        windows = lines.unfold(-1, len(band), step * _BLOCK)[:, :blocks].transpose(0, 1)
        found = torch.bmm(windows, band.expand(blocks, -1, -1))
        parts.append(found.transpose(0, 1).reshape(len(lines), whole))
    if whole < outputs:
        rest = lines[:, step * whole : step * (outputs - 1) + n]
        parts.append(rest @ _band(taps, outputs - whole, step, maps.device))
    filtered = parts[0] if len(parts) == 1 else torch.cat(parts, -1)
    return filtered.view(*maps.shape[:-1], outputs)


def filter_rows(maps: Tensor, taps: tuple[float, ...], step: int = 1) -> Tensor:
    """Filter along H, valid part: (..., H, W) to (..., H - n + 1, W), or every step-th of it."""
    n, outputs = len(taps), (maps.shape[-2] - len(taps)) // step + 1
    parts = []
    for first in range(0, outputs, _BLOCK):
        last = min(first + _BLOCK, outputs)
        window = maps[..., step * first : step * (last - 1) + n, :]
        parts.append(_band(taps, last - first, step, maps.device).T @ window)
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
    return functional.pad(maps, (margin,) * 4)


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


def bordered(maps: Tensor, mode: str, rows: slice) -> Tensor:
    """Extend some rows of images by one pixel on every side.

    By the rows beside them; beyond the image by ``zero``, ``replicate`` (aa|abc) or ``reflect``
    (b|abc).
    """
    height = maps.shape[-2]
    near = maps[..., max(rows.start - 1, 0) : rows.stop + 1, :]
    beyond = (1, 1, int(rows.start == 0), int(rows.stop == height))
    wide = functional.pad(
        near.reshape(-1, *near.shape[-2:]), beyond, "constant" if mode == "zero" else mode
    )
    return wide.view(*maps.shape[:-2], *wide.shape[-2:])


def gradients(
    maps: Tensor, border: str, centre: float = 2.0, rows: slice | None = None
) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical derivative, 3 x 3, at every pixel, or at those of some rows.

    ``centre`` 2 is Sobel's operator, with rows 1 2 1; 1 is Prewitt's. They are
    not divided by the sum of their weights. ``border`` as in :func:`bordered`.
    """
    wide = bordered(maps, border, slice(0, maps.shape[-2]) if rows is None else rows)
    along = torch.add(wide[..., :-2, :] + wide[..., 2:, :], wide[..., 1:-1, :], alpha=centre)
    below = torch.add(wide[..., :-2] + wide[..., 2:], wide[..., 1:-1], alpha=centre)
    return along[..., 2:] - along[..., :-2], below[..., 2:, :] - below[..., :-2, :]
