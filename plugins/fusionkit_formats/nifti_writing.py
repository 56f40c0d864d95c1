"""Images and volumes as NIfTI-1, where they lie in space, by nibabel."""

from __future__ import annotations

import gzip
import math
from io import BytesIO
from typing import Any, BinaryIO

import nibabel
import numpy as np
from numpy.typing import NDArray

from fusionkit import Decoded
from fusionkit.imaging import Grid, Metadata, Volume

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
    made = _made(rows.T[:, :, np.newaxis], grid)  # (column, row, slice)
    if grid is not None:
        made = nibabel.as_closest_canonical(made)  # type: ignore[no-untyped-call]
        _place(made, grid)
    elif spacing := _spacing(image.metadata):
        made.header.set_zooms((*spacing, 1.0))
        made.header.set_xyzt_units("mm")
    if said is not None:
        made.header["cal_min"], made.header["cal_max"] = said
    file = BytesIO()
    _write(made, file, name)
    return file.getvalue()


def write(volume: Volume, file: BinaryIO, name: str) -> None:
    """Write a volume in the order of its axes, a slice at a time; see :func:`encode`."""
    made = _made(volume.values, volume.grid)
    if volume.grid is not None:
        _place(made, volume.grid)
    elif volume.spacing is not None:
        # NIfTI has no word for a distance that is not known along one axis.
        made.header.set_zooms([each if math.isfinite(each) else 1.0 for each in volume.spacing])
        made.header.set_xyzt_units("mm")
    made.header["cal_min"], made.header["cal_max"] = volume.stored_range
    _write(made, file, name)


def _made(values: NDArray[Any], grid: Grid | None) -> Any:
    affine = None if grid is None else _affine(grid)
    return nibabel.Nifti1Image(values, affine)  # type: ignore[no-untyped-call]


def _place(made: Any, grid: Grid) -> None:
    """Say where it lies, twice where both ways of saying that can.

    A qform knows no shear: it is left out where some voxel would be half of one elsewhere by it.
    """
    made.set_sform(made.affine, grid.space)
    made.set_qform(made.affine, grid.space)
    ends = np.array([side - 1 for side in made.shape])
    corners = np.array([*np.ndindex(2, 2, 2)]) * ends
    moved = (made.get_qform() - made.affine) @ np.c_[corners, np.ones(8)].T
    if np.linalg.norm(moved[:3], axis=0).max() > min(made.header.get_zooms()) / 2:
        made.set_qform(None)
    made.header.set_xyzt_units(grid.unit)


def _write(made: Any, file: BinaryIO, name: str) -> None:
    """Write to an open file: header, then values, some at a time."""
    if not name.lower().endswith(".gz"):
        made.to_stream(file)
        return
    with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        made.to_stream(packed)


def _affine(grid: Grid) -> NDArray[np.float64]:
    """Return it as NIfTI counts: in its own unit, x to the right and y to the front."""
    scale = 1 / MILLIMETRES[grid.unit]
    affine: NDArray[np.float64] = np.diag([-scale, -scale, scale, 1]) @ grid.matrix()
    return affine


def _spacing(metadata: Metadata) -> tuple[float, float] | None:
    finely = metadata.per_inch()
    return None if finely is None else (INCH / finely[0], INCH / finely[1])
