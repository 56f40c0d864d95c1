"""What images of one scene have in common, whatever took them: the directions of their edges.

At a pixel with the gradient g = |g| (cos a, sin a), an image is described by

    e = |g|² (cos 2a, sin 2a) / (|g|² + G|g|² + floor²),

G the mean over a window. Twice the angle is the same for an edge from dark to bright and from
bright to dark, so that infrared and visible images agree; the division makes it
independent of contrast, exposure and blur. Compare the normalised gradient fields of Haber and
Modersitzki (MICCAI 2006), which are so normalised by one number for the whole image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

WINDOW = 15
"""Side of the window over which the strength of edges is compared, in pixels of a level."""

FLOOR = 2 / 255
"""A gradient that counts as none, in values from 0 to 1 a pixel."""

LEAST_SIDE = 40
"""Of the coarsest level, in pixels."""

MOST_PIXELS = 2**19
"""Of the finest level that is looked at: a larger image is matched at half of its size, or less."""

_HALF = np.float32(0.5)


@dataclass(frozen=True, eq=False)
class Level:
    """The edges of an image at one resolution.

    Attributes
    ----------
    edges
        (2, h, w); 0 where there is none, or the image is not shown.
    factor
        How many pixels of the image its pixels are wide and high.
    size
        (H, W) of the image.
    """

    edges: Array
    factor: int
    size: tuple[int, int]


def levels_of(image: Array, shown: NDArray[np.bool_] | None = None) -> tuple[Level, ...]:
    """Return the edges of an image (H, W), values from 0 to 1, from coarse to fine."""
    height, width = image.shape
    known = None if shown is None else shown.astype(np.float32)
    found: list[Level] = []
    factor = 1
    while True:
        smallest = min(image.shape) < 2 * LEAST_SIDE
        if image.size <= MOST_PIXELS or smallest:
            found.insert(0, Level(edges(image, known), factor, (height, width)))
        if smallest:
            return tuple(found)
        image, factor = halved(image), 2 * factor
        known = None if known is None else halved(known)


def edges(image: Array, known: Array | None) -> Array:
    """Return the directions of edges, (2, H, W), of length below 1.

    Parameters
    ----------
    image
        (H, W), values from 0 to 1.
    known
        (H, W), the share of a pixel that is shown; none next to what is not.
    """
    gx, gy = gradient(smoothed(image))
    if known is not None:
        gone = _box(1 - known, 5) > 0
        gx[gone] = 0
        gy[gone] = 0
    power = gx * gx + gy * gy
    strength = power + _box(power, WINDOW) + np.float32(FLOOR**2)
    found: Array = np.stack([gx * gx - gy * gy, 2 * gx * gy]) / strength
    return found


def gradient(maps: Array) -> tuple[Array, Array]:
    """Return central differences of maps (..., H, W) along x and y."""
    wide = np.pad(maps, [(0, 0)] * (maps.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
    gx: Array = (wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]) * _HALF
    gy: Array = (wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]) * _HALF
    return gx, gy


def smoothed(image: Array) -> Array:
    """Return the image (H, W) with neighbours averaged by 1, 2, 1 along both axes."""
    for _ in range(2):
        wide = np.pad(image, ((1, 1), (0, 0)), mode="edge")
        image = ((wide[:-2] + wide[2:]) * _HALF + wide[1:-1]).T * _HALF
    return image


def halved(image: Array) -> Array:
    """Return means of 2 x 2 pixels; where a side is odd, the last one is alone."""
    wide = np.pad(image, [(0, side % 2) for side in image.shape], mode="edge")
    rows = (wide[::2] + wide[1::2]) * _HALF
    both: Array = (rows[:, ::2] + rows[:, 1::2]) * _HALF
    return both


def _box(image: Array, window: int) -> Array:
    """Return means over a window of odd side of an image (H, W), by running sums."""
    half = window // 2
    for axis in (0, 1):
        wide = [(0, 0), (0, 0)]
        wide[axis] = (half + 1, half)
        total = np.cumsum(np.pad(image, wide, mode="edge"), axis, dtype=np.float64)
        upper = total[window:] if axis == 0 else total[:, window:]
        lower = total[:-window] if axis == 0 else total[:, :-window]
        image = ((upper - lower) / window).astype(np.float32)
    return image
