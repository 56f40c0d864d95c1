"""Slices of NIfTI volumes (NIfTI-1 and 2, gzipped too), by nibabel."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import replace
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from fusionkit import Decoded
from fusionkit.imaging import NO_METADATA, Grid, check_comparable, grid_of, sampled

from .spacing import NO_PLACE, by_spacing

AXES = "xyz"
MILLIMETRES = {"unknown": 1.0, "mm": 1.0, "meter": 1e3, "micron": 1e-3}
NOTE = "what NIfTI says beside pixels, range and place in space is not carried to results"
_PART = re.compile(r"([xyz])(\d{1,6})(?:,(\d{1,6}))?")


def decode(data: bytes, part: str) -> Decoded:
    """Decode a slice as radiologists look at it: the patient's right, or front, at the left.

    ``part`` is an axis of the patient (x from left to right, y from back to front, z from feet to
    head), the number of the slice from 0, and that of the volume, if there are several. Without
    one, it is the middle slice along z, or the only slice of the file. Black and white are
    ``cal_min`` and ``cal_max`` of the header, or the least and the greatest value of the volume.
    """
    read = _opened(data)
    volume: Any = nibabel.as_closest_canonical(read)  # type: ignore[no-untyped-call]
    axis, number, which = _asked(part, volume.shape)
    values = _values(volume)
    if values.ndim > 3:
        values = values.reshape(*values.shape[:3], -1)[..., which]
    low, high, note = _range(volume.header, values)
    slice_ = np.take(values, number, axis).T[::-1, ::-1]
    if slice_.dtype.kind == "f" or slice_.dtype.itemsize > 2:
        slice_ = slice_.astype(np.float32)
    across, down = (
        float(size) for n, size in enumerate(volume.header.get_zooms()[:3]) if n != axis
    )
    metadata = by_spacing(across, down) if _unit(volume.header) == "mm" else NO_METADATA
    space, series = _space(read.header), hashlib.sha256(data).hexdigest()
    grid = _grid(volume, axis, number, space, series) if space else None
    notes = [f"slice {AXES[axis]}{number} of {values.shape[axis]}", note, NOTE]
    if space and grid is None:
        notes.append(NO_PLACE)
    if abs(across - down) > 0.01 * max(across, down):
        notes.append(f"its pixels are not square: {across:.3g} by {down:.3g}")
    return Decoded(
        np.ascontiguousarray(slice_),
        notes=tuple(notes),
        stored_range=(low, high),
        metadata=replace(metadata, grid=grid),
    )


def decode_on(data: bytes, part: str, grid: Grid, size: tuple[int, int]) -> Decoded:
    """Decode what the volume shows on a grid of so many rows and columns, interpolated.

    Raises
    ------
    ValueError
        It holds several volumes, or nothing that lies there.
    """
    read = _opened(data)
    values, space = _values(read), _space(read.header)
    if not space:
        raise ValueError("it does not say where it lies in space")
    if values.ndim < 3 or values.size != np.prod(values.shape[:3]):
        raise ValueError(f"its shape is {values.shape}: save the one volume you mean")
    check_comparable(grid, space)
    volume = values.reshape(1, *values.shape[:3])
    low, high, note = _range(read.header, values)
    to_index = np.linalg.inv(_to_mm(read.header) @ read.affine) @ grid.matrix()
    if volume.dtype.kind == "f" or volume.dtype.itemsize > 2:
        volume = volume.astype(np.float32)
    (found,), inside = sampled(volume, to_index, size)
    if not inside.any():
        raise ValueError("it shows nothing where the first source lies")
    notes = ("interpolated on the grid of the first source", note, NOTE)
    return Decoded(
        found,
        notes=notes,
        stored_range=(low, high),
        metadata=replace(NO_METADATA, grid=grid),
        mask=None if inside.all() else inside,
    )


def _opened(data: bytes) -> Any:
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    version = nibabel.Nifti2Image if data[4:7] == b"n+2" else nibabel.Nifti1Image
    return version.from_bytes(data)


def _values(volume: Any) -> NDArray[Any]:
    values: NDArray[Any] = np.asanyarray(volume.dataobj)
    if values.dtype.kind not in "iuf":
        raise ValueError(f"its values are {values.dtype}: save it as grey values")
    return values


def _to_mm(header: Any) -> NDArray[np.float64]:
    """Return what makes the file's coordinates those of DICOM: x and y to the left and back."""
    scale = MILLIMETRES[_unit(header)]
    made: NDArray[np.float64] = np.diag([-scale, -scale, scale, 1])
    return made


def _grid(volume: Any, axis: int, number: int, space: str, series: str) -> Grid | None:
    """Return where a slice lies, as it is shown; None where what the file says is no place."""
    rows = [n for n in range(3) if n != axis]
    shown = np.zeros((4, 4))  # from (column, row, slice) to the volume's indices
    shown[axis, 2:] = 1, number
    for at, n in enumerate(rows):  # the last first: the patient's right, or front, at the left
        shown[n, at], shown[n, 3] = -1, volume.shape[n] - 1
    shown[3, 3] = 1
    unit, to_mm = _unit(volume.header), _to_mm(volume.header)
    try:
        return grid_of(to_mm @ volume.affine @ shown, unit=unit, space=space, series=series)
    except ValueError:
        return None


def _space(header: Any) -> str:
    """Return what the file's coordinates are; empty where it has none."""
    codes = [code for code in ("sform_code", "qform_code") if header[code]]
    return str(header.get_value_label(codes[0])) if codes else ""


def _unit(header: Any) -> str:
    """Return what lengths are counted in."""
    return str(header.get_xyzt_units()[0])


def _asked(part: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the axis, the slice and the volume that are asked for."""
    if len(shape) < 3:
        raise ValueError(f"it is no volume: its shape is {shape}")
    volumes = int(np.prod(shape[3:]))
    thin = AXES[shape.index(1)] if 1 in shape[:3] else "z"  # a file of one slice
    middle = f"{thin}{shape[AXES.index(thin)] // 2}"
    found = _PART.fullmatch(part or middle)
    if found is None:
        raise ValueError(f"there is no part {part}: give x, y or z and a slice, such as #z80")
    axis, number, which = AXES.index(found[1]), int(found[2]), found[3]
    if number >= shape[axis]:
        raise ValueError(f"its slices along {found[1]} are 0 to {shape[axis] - 1}")
    if which is None and volumes > 1:
        raise ValueError(
            f"it holds {volumes} volumes: give the one you mean, such as #{found[0]},0"
        )
    if int(which or 0) >= volumes:
        raise ValueError(f"its volumes are 0 to {volumes - 1}")
    return axis, number, int(which or 0)


def _range(header: Any, values: NDArray[Any]) -> tuple[float, float, str]:
    """Return what is black and what is white, and where that is from."""
    low, high = float(header["cal_min"]), float(header["cal_max"])
    if high > low and np.isfinite([low, high]).all():
        return low, high, f"range of the file: {low:g} to {high:g}"
    if not values.size:
        raise ValueError(f"it holds no values: its shape is {values.shape}")
    known = values[np.isfinite(values)]
    if not known.size or known.min() == known.max():
        raise ValueError("all its values are the same")
    low, high = float(known.min()), float(known.max())
    return low, high, f"range of the volume: {low:g} to {high:g}; --range K:LO,HI says another"
