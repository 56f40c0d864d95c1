"""Slices of NIfTI volumes, and volumes (NIfTI-1 and 2, gzipped too), by nibabel."""

from __future__ import annotations

import gzip
import hashlib
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from fusionkit import Decoded
from fusionkit.imaging import Grid, Volume, axes_of, grid_of, values_on_disk

from .apart import VALUES
from .place import NO_PLACE

AXES = "xyz"
MILLIMETRES = {"unknown": 1.0, "mm": 1.0, "meter": 1e3, "micron": 1e-3}
NOTE = "what NIfTI says beside pixels, range and place in space is not carried to results"
_PART = re.compile(r"(?:([xyz])(\d{1,6}))?(?:(?:^|,)t(\d{1,6}))?")
_PIECE = 2**24
_BEFORE = 2**20  # bytes that extensions of a header may take, beside what it says of them


def decode(data: bytes, part: str) -> Decoded:
    """Decode a slice as radiologists look at it: the patient's right, or front, at the left.

    ``part`` is an axis of the patient (x from left to right, y from back to front, z from feet to
    head), the number of the slice from 0, and that of the volume, if there are several:
    ``z80,t2``. Without a slice, it is the middle one along z, or the only slice of the file. Black
    and white are ``cal_min`` and ``cal_max`` of the header, or the least and the greatest value of
    the volume.
    """
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    version = nibabel.Nifti2Image if data[4:7] == b"n+2" else nibabel.Nifti1Image
    read = version.from_bytes(data)
    which = _number_of_volume(part, read.shape)
    _check_values(read.shape)
    values = np.asanyarray(read.dataobj)
    values = _narrow(values.reshape(*values.shape[:3], -1)[..., which])
    known = values[np.isfinite(values)]
    ends = (float(known.min()), float(known.max())) if known.size else None
    volume = _volume(read, values, ends, hashlib.sha256(data).hexdigest())
    axis, number = _slice(part, volume)
    slice_ = volume.slice(axis, number)
    spacing = _apart(read.header, volume, axis)
    notes = [f"slice {axis}{number} of {volume.count(axis)}", *volume.notes]
    if abs(spacing[0] - spacing[1]) > 0.01 * max(spacing):
        notes.append(f"its pixels are not square: {spacing[0]:.3g} by {spacing[1]:.3g}")
    return replace(slice_, notes=tuple(notes))


def read_volume(name: str, part: str, room: Path) -> Volume:
    """Read a volume, its values into a file, a slice at a time.

    ``part`` is that of the volume, such as ``t2``, if there are several.
    """
    place = _unpacked(Path(name), room / "unpacked.nii")
    with open(place, "rb") as file:
        version = nibabel.Nifti2Image if file.read(8)[4:7] == b"n+2" else nibabel.Nifti1Image
    read: Any = version.from_filename(place)
    which = _number_of_volume(part, read.shape)
    _check_values(read.shape)
    length = int(read.dataobj.offset) + math.prod(read.shape) * read.get_data_dtype().itemsize
    if place.stat().st_size < length:
        raise ValueError(f"it ends too early: {place.stat().st_size} bytes, of {length}")
    stored: NDArray[Any] | None = None
    low, high = np.inf, -np.inf
    digest = hashlib.sha256()
    for k in range(read.shape[2]):
        index = (slice(None), slice(None), k, *np.unravel_index(which, read.shape[3:] or (1,)))
        plane = np.asanyarray(read.dataobj[index[: read.ndim]])
        plane = _narrow(plane)
        if stored is None:
            stored = values_on_disk(room / VALUES, plane.dtype, read.shape[:3])
        stored[..., k] = plane
        digest.update(plane.tobytes("F"))
        known = plane[np.isfinite(plane)]
        if known.size:
            low, high = min(low, float(known.min())), max(high, float(known.max()))
    assert stored is not None
    volume = _volume(read, stored, (low, high) if low <= high else None, digest.hexdigest())
    if place != Path(name):
        place.unlink()
    return replace(volume, axis=_thin(volume))


def _unpacked(path: Path, place: Path) -> Path:
    """Return where a file lies uncompressed: there, or where its content is written to."""
    with open(path, "rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return path
    with gzip.open(path) as packed, open(place, "wb") as whole:
        head = packed.read(540)
        whole.write(head)
        left = _length(head) - len(head)
        while left > 0 and (piece := packed.read(min(_PIECE, left))):
            whole.write(piece)
            left -= len(piece)
        if packed.read(1):
            raise ValueError("it unpacks to more than its header says")
    return place


def _length(head: bytes) -> int:
    """Return the bytes that a file has at most, as its header says."""
    kind: Any = nibabel.Nifti2Header if head[4:7] == b"n+2" else nibabel.Nifti1Header
    header = kind(head[: kind.template_dtype.itemsize], check=False)
    samples = math.prod(map(int, header.get_data_shape()))
    return samples * int(header.get_data_dtype().itemsize) + int(header["vox_offset"]) + _BEFORE


def _check_values(shape: tuple[int, ...]) -> None:
    if min(shape) < 1:
        raise ValueError(f"it holds no values: its shape is {shape}")


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    """Return values as integers of 16 bits at most, or as float32."""
    if values.dtype.kind not in "iuf":
        raise ValueError(f"its values are {values.dtype}: save it as grey values")
    if values.dtype.kind == "f" or values.dtype.itemsize > 2:
        return values.astype(np.float32)
    return values


def _volume(
    read: Any, values: NDArray[Any], ends: tuple[float, float] | None, series: str
) -> Volume:
    """Return a volume of values, whose least and greatest are known, with what its header says."""
    low, high, note = _range(read.header, ends)
    space, matrix = _space(read.header), _to_mm(read.header) @ read.affine
    grid: Grid | None = None
    notes = [note, NOTE]
    if space:
        try:
            grid = grid_of(matrix, unit=_unit(read.header), space=space, series=series)
        except ValueError:
            notes.append(NO_PLACE)
    runs = axes_of(matrix if grid is not None or not space else np.diag([-1.0, -1, 1, 1]))
    spacing = _spacing(read.header) if grid is None else None
    return Volume(
        values, runs, (low, high), ends or (low, high), grid, notes=tuple(notes), spacing=spacing
    )


def _spacing(header: Any) -> tuple[float, float, float] | None:
    """Return how far values are apart, in millimetres; None where the file has no unit."""
    unit = _unit(header)
    x, y, z = (MILLIMETRES[unit] * float(zoom) for zoom in header.get_zooms()[:3])
    known = unit != "unknown" and all(0 < each < math.inf for each in (x, y, z))
    return (x, y, z) if known else None


def _apart(header: Any, volume: Volume, axis: str) -> tuple[float, float]:
    """Return how far pixels of a slice are apart, across and down."""
    zooms = header.get_zooms()
    across, down = (float(zooms[volume.runs[n][0]]) for n in range(3) if AXES[n] != axis)
    return across, down


def _to_mm(header: Any) -> NDArray[np.float64]:
    """Return what makes the file's coordinates those of DICOM: x and y to the left and back."""
    scale = MILLIMETRES[_unit(header)]
    made: NDArray[np.float64] = np.diag([-scale, -scale, scale, 1])
    return made


def _space(header: Any) -> str:
    """Return what the file's coordinates are; empty where it has none."""
    codes = [code for code in ("sform_code", "qform_code") if header[code]]
    return str(header.get_value_label(codes[0])) if codes else ""


def _unit(header: Any) -> str:
    """Return what lengths are counted in."""
    return str(header.get_xyzt_units()[0])


def _number_of_volume(part: str, shape: tuple[int, ...]) -> int:
    """Return which volume is asked for, from 0."""
    if len(shape) < 3:
        raise ValueError(f"it is no volume: its shape is {shape}")
    volumes = int(np.prod(shape[3:]))
    found = _PART.fullmatch(part)
    if found is None:
        raise ValueError(
            f"there is no part {part}: give x, y or z and a slice, such as #z80, or #z80,t2 of the "
            "third of several volumes"
        )
    if found[3] is None and volumes > 1:
        raise ValueError(
            f"it holds {volumes} volumes: give the one you mean, such as #{_with(part)}t0"
        )
    if int(found[3] or 0) >= volumes:
        raise ValueError(f"its volumes are t0 to t{volumes - 1}")
    return int(found[3] or 0)


def _with(part: str) -> str:
    return f"{part}," if part else ""


def _slice(part: str, volume: Volume) -> tuple[str, int]:
    """Return the axis and the slice that are asked for."""
    found = _PART.fullmatch(part)
    if found is None or found[1] is None:
        axis = _thin(volume)
        return axis, volume.count(axis) // 2
    axis, number = found[1], int(found[2])
    if number >= volume.count(axis):
        raise ValueError(f"its slices along {axis} are 0 to {volume.count(axis) - 1}")
    return axis, number


def _thin(volume: Volume) -> str:
    """Return the axis along which a file of one slice is that; z of any other."""
    return AXES[volume.shape.index(1)] if 1 in volume.shape else "z"


def _range(header: Any, ends: tuple[float, float] | None) -> tuple[float, float, str]:
    """Return what is black and what is white, and where that is from."""
    low, high = float(header["cal_min"]), float(header["cal_max"])
    if high > low and np.isfinite([low, high]).all():
        return low, high, f"range of the file: {low:g} to {high:g}"
    if ends is None:
        raise ValueError("it holds no values: all are NaN")
    if ends[0] == ends[1]:
        return *ends, f"all its values are {ends[0]:g}: black; --range K:LO,HI says another"
    return *ends, f"range of the volume: {ends[0]:g} to {ends[1]:g}; --range K:LO,HI says another"
