"""Images on the grid of the reference: interpolated once, and known where they show anything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusionkit.imaging import Picture, bands

from .motion import Matrix, Points, grid, moved

_REACH = 3  # pixels on either side: a Lanczos window of three lobes
_EDGE = 0.5  # pixels beyond the middle of the last one that it still shows


class Places:
    """Where each pixel of the reference lies in a source.

    Parameters
    ----------
    matrix
        The motion.
    size
        (H, W) of the reference, and of the source.
    flow
        (2, H, W), by how many pixels along x and y points are moved before the motion.
    """

    def __init__(
        self, matrix: Matrix, size: tuple[int, int], flow: NDArray[np.float32] | None = None
    ) -> None:
        self._matrix = matrix
        self._size = size
        self._flow = flow

    def points(self, rows: slice = slice(None)) -> Points:
        """Return them for some rows, in pixels from the middle of the first pixel."""
        height, width = self._size
        x, y = (along[rows] for along in grid(self._size, self._size))
        if self._flow is not None:
            x, y = x + self._flow[0, rows], y + self._flow[1, rows]
        x, y = moved(self._matrix, (x, y))
        return x + (width - 1) / 2, y + (height - 1) / 2

    def of_size(self, size: tuple[int, int]) -> Places:
        """Return the same for a form of both images that has another number of pixels."""
        small, large = (np.diag([each[1], each[0], 1.0]) for each in (size, self._size))
        scale = small @ np.linalg.inv(large)
        flow = None
        if self._flow is not None:
            share = np.array([[[scale[0, 0]]], [[scale[1, 1]]]], np.float32)
            places = Places(np.eye(3), self._size).within(size)
            flow = resampled(self._flow, places) * share
        return Places(scale @ self._matrix @ np.linalg.inv(scale), size, flow)

    def within(self, size: tuple[int, int]) -> Points:
        """Return where the pixels of a smaller form of the reference lie in it."""
        (h, w), (H, W) = size, self._size
        x = (np.arange(w) + 0.5) * W / w - 0.5
        y = (np.arange(h) + 0.5) * H / h - 0.5
        made = np.meshgrid(x, y)
        return made[0], made[1]

    def shown(self, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Return where a source shows the scene, (H, W), given where it does on its own grid."""
        height, width = self._size
        found = np.empty(self._size, np.bool_)
        for rows in bands(*self._size):
            x, y = self.points(rows)
            inside = (x >= -_EDGE) & (x <= width - 1 + _EDGE)
            inside &= (y >= -_EDGE) & (y <= height - 1 + _EDGE)
            if mask is not None:  # all pixels around
                for row in (np.floor(y), np.ceil(y)):
                    for column in (np.floor(x), np.ceil(x)):
                        inside &= mask[_index(row, height), _index(column, width)]
            found[rows] = inside
        return found

    def of(self, maps: NDArray[Any]) -> NDArray[np.float32]:
        """Return maps (C, H, W) of a source as the reference would show them."""
        made = np.empty(maps.shape, np.float32)
        for rows in bands(*self._size):
            made[:, rows] = resampled(maps, self.points(rows))
        return made


def resampled(maps: NDArray[Any], points: Points) -> NDArray[np.float32]:
    """Interpolate maps (C, h, w) at points, in pixels from the middle of the first pixel.

    By a Lanczos window of three lobes (Turkowski, Graphics Gems, 1990), whose weights are divided
    by their sum. Its overshoot is cut off at the least and the greatest value of
    each map. Beyond the border, the last pixels go on.
    """
    height, width = maps.shape[-2:]
    (columns, across), (rows, along) = (
        _taps(axis, side) for axis, side in zip(points, (width, height), strict=True)
    )
    source = torch.from_numpy(np.ascontiguousarray(maps, np.float32)).flatten(1)
    total = source.new_zeros(len(maps), *points[0].shape)
    for row, down in zip(rows, along, strict=True):
        line = torch.zeros_like(total)
        for column, right in zip(columns, across, strict=True):
            line += source[:, row * width + column] * right
        total += line * down
    least, greatest = source.amin(1), source.amax(1)
    made = total.clamp_(least.view(-1, 1, 1), greatest.view(-1, 1, 1))
    found: NDArray[np.float32] = made.numpy()
    return found


def _taps(axis: NDArray[Any], side: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the pixels of a window around points of one axis, and their weights."""
    first = np.floor(axis)
    part = axis - first
    places, weights = [], []
    for step in range(1 - _REACH, _REACH + 1):
        places.append(torch.from_numpy(_index(first + step, side)))
        # NumPy's: torch rounds a sine otherwise where a thread's part ends.
        weights.append(np.round(np.sinc(part - step) * np.sinc((part - step) / _REACH), 9))
    total = np.sum(weights, 0)
    return places, [torch.from_numpy((weight / total).astype(np.float32)) for weight in weights]


def _index(places: NDArray[Any], side: int) -> NDArray[np.int64]:
    inside: NDArray[np.int64] = np.clip(places, 0, side - 1).astype(np.int64)
    return inside


def moved_picture(picture: Picture, places: Places) -> Picture:
    """Return a picture as the reference would show it: its values, its alpha, its mask.

    What it was measured of, if it had fewer pixels, is moved too.
    """
    mask = places.shown(picture.mask)
    measured = picture.measured
    if measured is not None:
        measured = moved_picture(measured, places.of_size(measured.shape))
    return replace(
        picture,
        pixels=_stored(picture.pixels, places),
        alpha=None if picture.alpha is None else _stored(picture.alpha, places),
        mask=None if mask.all() else mask,
        measured=measured,
    )


def _stored(pixels: NDArray[Any], places: Places) -> NDArray[Any]:
    """Return stored values (H, W) or (H, W, 3) in their own type."""
    planes = pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    made = places.of(planes)
    image = made[0] if pixels.ndim == 2 else np.moveaxis(made, 0, -1)
    stored = (np.rint(image) if pixels.dtype.kind in "ui" else image).astype(pixels.dtype)
    stored.flags.writeable = False
    return stored
