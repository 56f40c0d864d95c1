"""Whether sources of one kind clearly lie elsewhere than the first: told without being asked."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_SIDE = 256  # pixels at most of what is looked at
_LEAST_SIDE = 128  # pixels: a smaller image has too few edges
_FLOOR = 2 / 255  # a difference between neighbours that counts as no edge
_LEAST_MATCH = 0.3  # sources of different kinds match by 0.1, of one kind by 0.6 and more
_LEAST_GAIN = 2.0  # over no shift, and over any other: a pattern that recurs says nothing
_GUARD = 4  # pixels around a shift that belong to it
_LEAST_SHIFT = 2  # pixels of what is looked at


def seen_shift(first: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return how far an image clearly lies from another, in pixels; 0 if it does not, or may not.

    By the correlation of the directions of gradients (Fitch et al., Orientation correlation, BMVC
    2002), at most 256 pixels a side. It is clear if a shift makes it twice what it is without one,
    or with any other.

    Parameters
    ----------
    first, other
        (H, W), values from 0 to 1.
    """
    factor = math.ceil(max(first.shape) / _SIDE)
    if min(first.shape) < max(_LEAST_SIDE, 32 * factor):
        return 0.0
    one, two = (_directions(_reduced(image, factor)) for image in (first, other))
    power = math.sqrt(float((abs(one) ** 2).sum()) * float((abs(two) ** 2).sum()))
    if power == 0:
        return 0.0
    unmoved = float(np.vdot(two, one).real) / power
    if unmoved >= 1 / _LEAST_GAIN:  # no match is more than 1
        return 0.0
    match = np.fft.ifft2(np.fft.fft2(one) * np.fft.fft2(two).conj()).real / power
    place = np.unravel_index(int(np.argmax(match)), match.shape)
    shift = math.hypot(
        *(min(int(at), n - int(at)) for at, n in zip(place, match.shape, strict=True))
    )
    best = float(match[place])
    if best < _LEAST_MATCH or best < _LEAST_GAIN * unmoved or shift < _LEAST_SHIFT:
        return 0.0
    around = np.arange(-_GUARD, _GUARD + 1)
    match[np.ix_(*((int(at) + around) % n for at, n in zip(place, match.shape, strict=True)))] = 0
    return shift * factor if best >= _LEAST_GAIN * float(match.max()) else 0.0


def shift_note(name: str, first: str, shift: float) -> str:
    """Say of a source that it lies elsewhere, and what to do."""
    return f"{name}: seems to lie {shift:.0f} pixels from {first}: consider --align auto"


def _reduced(image: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return means over blocks of pixels."""
    height, width = (side // factor for side in image.shape)
    blocks = image[: height * factor, : width * factor]
    # Rows first, which lie one behind the other: both at once take several times as long.
    rows = blocks.reshape(height, factor, -1).sum(1)
    sums: NDArray[np.float32] = rows.reshape(height, width, factor).sum(2)
    sums /= factor**2
    return sums


def _directions(image: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Return unit vectors along gradients as complex numbers, 0 where there is none."""
    rows = image[:-2] + 2 * image[1:-1] + image[2:]
    columns = image[:, :-2] + 2 * image[:, 1:-1] + image[:, 2:]
    g = ((rows[:, 2:] - rows[:, :-2]) + 1j * (columns[2:] - columns[:-2])) / 8
    found: NDArray[np.complex64] = (g / (abs(g) + _FLOOR)).astype(np.complex64)
    return found
