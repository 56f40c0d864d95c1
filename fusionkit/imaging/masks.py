"""Pixels that a source does not show: no data, or transparent where others are not.

Before fusion they are filled by what the other sources show, so that no edge stands where a
source ends; afterwards, what one source alone shows is taken from it as it is. `shown`
is (K, H, W) throughout, True where a source shows the scene.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fusionkit.imaging.picture import Picture

_REACH = 8
"""Pixels over which what fills a source leaves the level of the source for that of the others."""

_FEATHER = 4
"""Pixels over which the fused image gives way to the one source that is left."""


def shown_by(
    pictures: Sequence[Picture], opaque: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    """Return where each source shows the scene; None where all do everywhere.

    ``opaque`` is what :func:`.alpha.common_alpha` says of it.
    """
    masks = [picture.mask for picture in pictures]
    if opaque is None and all(mask is None for mask in masks):
        return None
    whole = np.ones(pictures[0].shape, np.bool_)
    shown = np.stack([whole if mask is None else mask for mask in masks])
    return shown if opaque is None else shown & opaque


def filled(luma: NDArray[np.float32], shown: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fill what sources do not show.

    Parameters
    ----------
    luma : array of float32, (K, H, W)
        In [0, 1]; what is not shown does not count.
    shown : array of bool, (K, H, W)
        Some of each source.

    Returns
    -------
    array of float32, (K, H, W)
        The mean of those that show something; near the pixels that a source itself shows, at
        its level. Where none does, the nearest level, and farther away the mean.
    """
    result = luma.copy()
    total = np.where(shown, luma, 0).sum(axis=0)
    count = shown.sum(axis=0)
    for source, here in zip(result, shown, strict=True):
        others = count - here
        mean = (total - np.where(here, source, 0)) / np.maximum(others, 1)
        known = here | (others > 0)
        difference, distance = _extended(source - mean, here & (others > 0), _REACH)
        fill = mean + difference * _fading(distance)
        source[...] = np.where(here, source, fill)
        nearest, distance = _extended(source, known, _REACH)
        average = source[known].mean() if known.any() else 0.0
        source[...] = np.where(known, source, average + (nearest - average) * _fading(distance))
    return np.clip(result, 0.0, 1.0, out=result)


def left_to_one(
    fused: NDArray[np.float32], luma: NDArray[np.float32], shown: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return the fused luma, (H, W), as the source has it where one alone shows anything.

    Over the first pixels of such a place, the one gives way to the other.
    """
    count = shown.sum(axis=0)
    alone = count == 1
    if not alone.any():
        return fused
    _, depth = _extended(fused, count > 1, _FEATHER + 1)
    share = np.minimum((np.maximum(depth, 1) - 1) / _FEATHER, 1.0)
    only = np.where(shown, luma, 0).sum(axis=0)
    result: NDArray[np.float32] = np.where(alone, fused + share * (only - fused), fused)
    return result.astype(np.float32)


def _extended(
    values: NDArray[np.float32], known: NDArray[np.bool_], reach: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Carry values, (H, W), outwards from where they are known, as means of their neighbours.

    Returns
    -------
    values, distance
        The distance is in steps of a pixel along the axes and the diagonals, `reach` + 1 for
        what is farther away, where the value is 0.
    """
    values = np.where(known, values, 0).astype(np.float32)
    distance = np.where(known, 0, reach + 1)
    for step in range(1, reach + 1):
        inside = distance < step
        if inside.all() or not inside.any():
            break
        neighbours = _sum_around(inside.astype(np.float32))
        new = ~inside & (neighbours > 0)
        values[new] = _sum_around(values)[new] / neighbours[new]
        distance[new] = step
    return values, distance


def _fading(distance: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return 1 at a distance of 1, falling to 0 past `_REACH`."""
    share: NDArray[np.float32] = np.clip(1 - (distance - 1) / _REACH, 0, 1).astype(np.float32)
    return share


def _sum_around(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sum over the 3 x 3 pixels around each."""
    rows = np.pad(values, ((1, 1), (0, 0)))
    rows = rows[:-2] + rows[1:-1] + rows[2:]
    columns = np.pad(rows, ((0, 0), (1, 1)))
    around: NDArray[np.float32] = columns[:, :-2] + columns[:, 1:-1] + columns[:, 2:]
    return around
