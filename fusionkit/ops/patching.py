"""Large images in patches, where nothing that guides their fusion looks farther than a few pixels.

A patch is fused together with what lies around it as far as the components reach, and then what
lies around is left out: what comes out is what the whole image gives, as far as anyone sees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

AREA = 2**23
"""About how many pixels of all sources and images a patch has, beside what lies around: with that,
some 600 megabytes in the network of ``learned``."""

LARGEST, SMALLEST = 704, 320
"""Sides of patches: no larger, since maps of more than 32 MB come from the system anew each time,
and no smaller, since what lies around is computed for nothing."""

ALIGNED = 32
"""Patches begin at multiples of so many pixels, with what lies around them: what networks like."""


@dataclass(frozen=True)
class Patch:
    """A part of an image, and the part that is looked at for it.

    Attributes
    ----------
    place
        Rows and columns of the image.
    seen
        Those that are looked at, ``place`` among them.
    inside
        Where ``place`` is in ``seen``.
    """

    place: tuple[slice, slice]
    seen: tuple[slice, slice]
    inside: tuple[slice, slice]


def in_patches(height: int, width: int, images: int) -> bool:
    """Whether so many images of a size are large enough to be fused in patches."""
    side = _side(images)
    return height * width > 2 * side * side


def patches(height: int, width: int, images: int, reach: int) -> Iterator[Patch]:
    """Yield the patches of an image, row by row.

    Parameters
    ----------
    height, width
        In pixels.
    images
        How many are fused at once: sources times images of the batch.
    reach
        How far around a patch is looked.
    """
    side, margin = _side(images), -(-reach // ALIGNED) * ALIGNED
    for rows, columns in product(_along(height, side, margin), _along(width, side, margin)):
        place, seen, inside = zip(rows, columns, strict=True)
        yield Patch(place, seen, inside)


def _side(images: int) -> int:
    side = math.isqrt(AREA // images) // ALIGNED * ALIGNED
    return min(max(side, SMALLEST), LARGEST)


def _along(length: int, side: int, margin: int) -> Iterator[tuple[slice, slice, slice]]:
    """Yield place, seen and inside of an axis, its parts as equal as alignment lets them be."""
    count = -(-length // side)
    step = -(-length // (count * ALIGNED)) * ALIGNED
    for begin in range(0, length, step):
        end = min(begin + step, length)
        first, last = max(0, begin - margin), min(length, end + margin)
        yield slice(begin, end), slice(first, last), slice(begin - first, end - first)
