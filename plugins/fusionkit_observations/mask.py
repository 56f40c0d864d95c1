"""Pixels that say nothing: named by a file, or found in the source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fusionkit import Identity, UsageError
from fusionkit.imaging import read_picture

from .defects import dead_lines, dead_pixels

_END = 1 - 1e-4
"""What is clipped, in units of images in [-1, 1]: the least or the greatest value of 12 bits."""


class Mask:
    """What of a source counts.

    Parameters
    ----------
    where
        ``auto``, ``missing``, ``clipped`` or ``file``.
    file
        An image of the source's size; given alone, ``where`` is ``file``.
    """

    def __init__(self, where: str = "auto", file: Path | None = None) -> None:
        if where == "file" and file is None:
            raise UsageError("mask: name the file: mask=FILE")
        self._where = where
        self._known = None if file is None else _read(file)
        self._file = file

    def start(self, y: Tensor, size: tuple[int, int]) -> Identity:
        """Return the mask of one source; raise UsageError if the file has another size."""
        if self._known is not None:
            if self._known.shape != y.shape[-2:]:
                height, width = self._known.shape
                raise UsageError(
                    f"{self._file}: the mask has {width} x {height} pixels, the source "
                    f"{y.shape[-1]} x {y.shape[-2]}"
                )
            return Identity(mask=self._known[None, None].to(y))
        return Identity(mask=_counts(y, self._where).to(y.dtype))


def _counts(y: Tensor, where: str) -> Tensor:
    """Return where a source (B, C, h, w) says something, (B, 1, h, w)."""
    missing = y.isnan().any(1, keepdim=True)
    if where == "missing":
        return ~missing
    if where == "clipped":
        return ~(missing | (y.abs() >= _END).any(1, keepdim=True))
    seen = torch.stack([_filled(image) for image in y.mean(1)])
    dead = torch.stack([dead_pixels(image) | dead_lines(image) for image in seen])
    return ~(missing | dead[:, None])


def _filled(image: Tensor) -> Tensor:
    """Return an image with its median where it has no value."""
    return torch.where(image.isnan(), image.nanmedian(), image)


def _read(file: Path) -> Tensor:
    """Return a mask (h, w) in [0, 1]."""
    picture = read_picture(file, "own")
    pixels = picture.pixels
    if pixels.ndim != 2:
        pixels = pixels[..., 0]
    if pixels.dtype.kind == "f":
        if not bool(np.isfinite(pixels).all()) or pixels.min() < 0 or pixels.max() > 1:
            raise UsageError(f"{file}: a mask of floating-point values has them in [0, 1]")
        return torch.from_numpy(pixels.astype(np.float64))
    most = max(1, int(pixels.max()))
    return torch.from_numpy(pixels.astype(np.float64) / most)
