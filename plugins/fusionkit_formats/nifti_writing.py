"""Images as NIfTI-1: one slice, where it lies in space, by nibabel."""

from __future__ import annotations

import gzip
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from fusionkit import Decoded
from fusionkit.imaging import Grid, Metadata

from .nifti import MILLIMETRES

INCH = 25.4  # millimetres


def encode(image: Decoded, name: str) -> bytes:
    """Return a volume of one slice, its axes the patient's as near as they can be.

    ``cal_min`` and ``cal_max`` say what is black and white. An image that lies nowhere in space
    has the distance of its pixels, if that is known, and codes that say so.
    """
    grid, said = image.metadata.grid, image.stored_range
    rows = image.pixels
    if grid is None:  # shown from below upwards, as NIfTI's second axis is where nothing is said
        rows = rows[::-1]
    volume = rows.T[:, :, np.newaxis]  # (column, row, slice)
    affine = None if grid is None else _affine(grid)
    made: Any = nibabel.Nifti1Image(volume, affine)  # type: ignore[no-untyped-call]
    if grid is not None:
        made = nibabel.as_closest_canonical(made)  # type: ignore[no-untyped-call]
        made.set_sform(made.affine, grid.space)
        made.set_qform(made.affine, grid.space)
        made.header.set_xyzt_units(grid.unit)
    elif spacing := _spacing(image.metadata):
        made.header.set_zooms((*spacing, 1.0))
        made.header.set_xyzt_units("mm")
    if said is not None:
        made.header["cal_min"], made.header["cal_max"] = said
    whole: bytes = made.to_bytes()
    return gzip.compress(whole, mtime=0) if name.lower().endswith(".gz") else whole


def _affine(grid: Grid) -> NDArray[np.float64]:
    """Return it as NIfTI counts: in its own unit, x to the right and y to the front."""
    scale = 1 / MILLIMETRES[grid.unit]
    affine: NDArray[np.float64] = np.diag([-scale, -scale, scale, 1]) @ grid.matrix()
    return affine


def _spacing(metadata: Metadata) -> tuple[float, float] | None:
    finely = metadata.per_inch()
    return None if finely is None else (INCH / finely[0], INCH / finely[1])
