"""What was measured of a source, on its own grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionkit import Sources
from fusionkit.imaging import Picture, luma_of


def measured_of(sources: Sources, k: int) -> NDArray[np.float32]:
    """Return what was measured of source k, (C, h, w); NaN where nothing was."""
    picture = sources.pictures[k]
    if picture.measured is None:
        plane: NDArray[np.float32] = sources.planes[k].copy()
        if sources.shown is not None:
            plane[:, ~sources.shown[k]] = np.nan
        return plane
    plane = _planes(picture.measured, len(sources.planes[k]))
    if (mask := picture.measured.mask) is not None:
        plane[:, ~mask] = np.nan
    return plane


def _planes(picture: Picture, channels: int) -> NDArray[np.float32]:
    """Return a picture's luma, or its channels, (C, h, w)."""
    unit = picture.unit()
    if channels == 1:
        grey = unit if unit.ndim == 2 else luma_of(unit)
        return np.array(grey, np.float32)[None]
    colour = np.moveaxis(unit, -1, 0) if unit.ndim == 3 else np.repeat(unit[None], channels, 0)
    planes: NDArray[np.float32] = np.ascontiguousarray(colour)
    return planes
