"""Slices of NIfTI volumes (NIfTI-1 and 2, gzipped too), by nibabel."""

from __future__ import annotations

import gzip
import re
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from fusionkit import Decoded
from fusionkit.imaging import NO_METADATA

from .spacing import by_spacing

AXES = "xyz"
NOTE = "what NIfTI says beside pixels, range and spacing is not carried to results"
_PART = re.compile(r"([xyz])(\d{1,6})(?:,(\d{1,6}))?")


def decode(data: bytes, part: str) -> Decoded:
    """Decode a slice as radiologists look at it: the patient's right, or front, at the left.

    ``part`` is an axis of the patient (x from left to right, y from back to front, z from feet to
    head), the number of the slice from 0, and that of the volume, if there are several. Without
    one, it is the middle slice along z. Black and white are ``cal_min`` and ``cal_max`` of the
    header, or the least and the greatest value of the volume.
    """
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    version = nibabel.Nifti2Image if data[4:7] == b"n+2" else nibabel.Nifti1Image
    read: Any = version.from_bytes(data)
    volume: Any = nibabel.as_closest_canonical(read)  # type: ignore[no-untyped-call]
    axis, number, which = _asked(part, volume.shape)
    values: NDArray[Any] = np.asanyarray(volume.dataobj)
    if values.dtype.kind not in "iuf":
        raise ValueError(f"its values are {values.dtype}: save it as grey values")
    if values.ndim > 3:
        values = values.reshape(*values.shape[:3], -1)[..., which]
    low, high, note = _range(volume.header, values)
    slice_ = np.take(values, number, axis).T[::-1, ::-1]
    if slice_.dtype.kind == "f" or slice_.dtype.itemsize > 2:
        slice_ = slice_.astype(np.float32)
    across, down = (
        float(size) for n, size in enumerate(volume.header.get_zooms()[:3]) if n != axis
    )
    notes = [f"slice {AXES[axis]}{number} of {values.shape[axis]}", note, NOTE]
    if abs(across - down) > 0.01 * max(across, down):
        notes.append(f"its pixels are not square: {across:.3g} by {down:.3g}")
    in_mm = volume.header.get_xyzt_units()[0] == "mm"
    return Decoded(
        np.ascontiguousarray(slice_),
        notes=tuple(notes),
        stored_range=(low, high),
        metadata=by_spacing(across, down) if in_mm else NO_METADATA,
    )


def _asked(part: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the axis, the slice and the volume that are asked for."""
    if len(shape) < 3:
        raise ValueError(f"it is no volume: its shape is {shape}")
    volumes = int(np.prod(shape[3:]))
    found = _PART.fullmatch(part) if part else _PART.fullmatch(f"z{shape[2] // 2}")
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
