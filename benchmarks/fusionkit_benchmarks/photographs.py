"""Photographs to make scenes of: a folder of them, or those that scikit-image ships."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.errors import UsageError
from fusionkit.host.batch import images_by_stem
from fusionkit.imaging import read_picture
from fusionkit.imaging.luma import luma_of

Pixels = NDArray[np.uint8]
Photograph = Callable[[], Pixels]
"""Reads a photograph when it is wanted: (H, W) or (H, W, 3) uint8.

Those of this module can be handed to another process.
"""

BUNDLED = ("astronaut", "camera", "chelsea", "coffee", "rocket", "stereo_motorcycle")
"""Photographs inside scikit-image's package: reading them needs no network."""


def bundled_photographs() -> dict[str, Photograph]:
    """Return scikit-image's photographs by name; raise UsageError if it is not installed."""
    try:
        importlib.import_module("skimage.data")
    except ImportError:
        raise UsageError(
            "scikit-image is not installed: pip install scikit-image, or give a folder of --photos"
        ) from None
    return {name: partial(_bundled, name) for name in BUNDLED}


def photographs_in(folder: Path) -> dict[str, Photograph]:
    """Return the photographs of a folder by stem, sorted; raise UsageError if there are none."""
    files = sorted(images_by_stem(folder).items())
    found: dict[str, Photograph] = {stem: partial(read_pixels, paths[0]) for stem, paths in files}
    if not found:
        raise UsageError(f"{folder}: there are no photographs in it")
    return found


def read_pixels(path: Path) -> Pixels:
    """Read an image as 8-bit pixels, (H, W, 3), or (H, W) where all channels are equal.

    Raises
    ------
    ImageError
        The file cannot be read.
    """
    picture = read_picture(path)
    pixels = picture.eight_bit()
    return pixels[..., 0] if pixels.ndim == 3 and not picture.is_colour else pixels


def luma_of_pixels(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Return BT.601 luma (H, W), not rounded, on the scale of the pixels (H, W[, 3])."""
    return pixels.astype(np.float64) if pixels.ndim == 2 else luma_of(pixels)


def grey(photograph: Pixels) -> Pixels:
    """Return a photograph's luma, rounded to 8 bits, (H, W)."""
    return np.rint(luma_of_pixels(photograph)).astype(np.uint8)


def middle_of(read: Photograph, size: int) -> Pixels:
    """Return the middle of a photograph, ``size`` x ``size`` pixels, or all of a smaller one."""
    photograph = read()
    top, left = (max(0, side - size) // 2 for side in photograph.shape[:2])
    return photograph[top : top + size, left : left + size]


def _bundled(name: str) -> Pixels:
    found = getattr(importlib.import_module("skimage.data"), name)()
    pixels: Pixels = np.asarray(found[0] if isinstance(found, tuple) else found)
    return pixels
