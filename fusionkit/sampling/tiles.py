"""Overlapping tiles of one axis, and the windows that blend what was made of each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..ops.sending import sent


@dataclass(frozen=True, eq=False)
class Axis:
    """Where the tiles of an axis begin, how long they are, and how each counts along itself.

    Attributes
    ----------
    starts
        The first pixel of each, multiples of what the estimator asks for.
    length
        Pixels of each: all are equal, so that an estimator meets one shape.
    windows
        (tiles, length), not negative; they sum to one at every pixel of the axis.
    """

    starts: tuple[int, ...]
    length: int
    windows: Tensor


def axis_of(
    size: int, tile: int, overlap: int, multiple: int, device: torch.device, dtype: torch.dtype
) -> Axis:
    """Lay tiles of at most ``tile`` pixels, neighbours sharing ``overlap`` or more, on an axis.

    Parameters
    ----------
    size
        Of the axis, a multiple of ``multiple``.
    tile, overlap
        In pixels; the overlap is made half the tile at most.
    multiple
        What starts and length are multiples of.
    device, dtype
        Of the windows.
    """
    # Counted in units of `multiple`, so that rounding eats into no overlap.
    whole = size // multiple
    length = min(whole, max(2, tile // multiple))
    shared = min(-(-overlap // multiple), length // 2)
    count = 1 if length >= whole else -(-(whole - shared) // (length - shared))
    starts = [n * (whole - length) // max(1, count - 1) for n in range(count)]
    pixels = tuple(start * multiple for start in starts)
    windows = _windows(pixels, length * multiple, size)
    return Axis(pixels, length * multiple, sent(windows, device, dtype))


def _windows(starts: tuple[int, ...], length: int, size: int) -> Tensor:
    """Return the windows, raised cosines where neighbours overlap; in float64 on the CPU."""
    windows = torch.ones(len(starts), length, dtype=torch.float64, device="cpu")
    for n in range(len(starts) - 1):
        shared = starts[n] + length - starts[n + 1]
        rise = _rise(shared)
        windows[n + 1, :shared] *= rise
        windows[n, length - shared :] *= rise.flip(0)
    # Two neighbours sum to one as they are; where evenly spread tiles overlap in threes, not.
    total = torch.zeros(size, dtype=torch.float64, device="cpu")
    for start, window in zip(starts, windows.unbind(), strict=True):
        total[start : start + length] += window
    for start, window in zip(starts, windows.unbind(), strict=True):
        window /= total[start : start + length]
    return windows


def _rise(length: int) -> Tensor:
    """Return sin² from 0 to 1 in the middle half of an overlap, constant in its outer quarters.

    What is nearest to a tile's border was estimated with the least around it: it counts nothing.
    """
    place = (torch.arange(length, dtype=torch.float64, device="cpu") + 0.5) / length
    rise: Tensor = torch.sin(math.pi / 2 * (2 * place - 0.5).clamp(0, 1)).square()
    return rise
