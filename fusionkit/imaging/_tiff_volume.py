"""Volumes of TIFF: the slices that OME or ImageJ say that its pages are."""

from __future__ import annotations

import html
import math
import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.contract.paths import split_part
from fusionkit.imaging._raw import Raw
from fusionkit.imaging._tags import Tag, rational
from fusionkit.imaging._tiff import decode_tiff_slice, tiff_slices
from fusionkit.imaging._tiff_file import SIGNATURES, Directory
from fusionkit.imaging.decoded import Decoded
from fusionkit.imaging.volume import Runs, Volume, values_on_disk

_AS_PAGES: Runs = ((0, True), (1, False), (2, False))  # which shows each slice as its page
_DESCRIPTION, _X_RESOLUTION, _Y_RESOLUTION = 270, 282, 283
_MILLIMETRES = {
    "m": 1e3, "dm": 1e2, "cm": 10.0, "mm": 1.0, "µm": 1e-3, "nm": 1e-6, "pm": 1e-9, "å": 1e-7,
    "um": 1e-3, "micron": 1e-3, "microns": 1e-3, "micrometer": 1e-3, "inch": 25.4, "in": 25.4,
}  # fmt: skip
_NO_UNITS = ("", "pixel", "pixels", "reference frame")  # by which nothing is said of lengths
_LEAST, _MOST = 1e-12, 1e12  # millimetres of a pixel; other files hold them in single precision
_NOTE = "what it says beside pixels and their distances is not carried to results"


def is_tiff(file: str) -> bool:
    """Whether a file begins as TIFF does."""
    with open(file, "rb") as opened:
        return opened.read(len(SIGNATURES[0])) in SIGNATURES


def read_tiff_volume(name: str, room: Path, max_pixels: int) -> Volume:
    """Read the slices of a TIFF into a file in the folder ``room``, one at a time.

    Parameters
    ----------
    name
        A file whose pages are slices, or ``FILE#z=all,c=1``, where there are channels or times.
    room
        An empty folder.
    max_pixels
        Of a slice, at most.

    Raises
    ------
    ImageError
        They are none, or not alike, or in colour.
    """
    with open(split_part(name)[0], "rb") as file:
        # Not closed by hand: arrays that view it may live as long as an error that is raised.
        data: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # as good as bytes
    raw = Raw(name, data, max_pixels)
    with raw.decoding("TIFF"):
        pages, every = tiff_slices(raw)
    stored: NDArray[Any] | None = None
    low, high = np.inf, -np.inf
    notes: dict[str, None] = {}
    ranges: dict[tuple[float, float] | None, None] = {}
    for k, page in enumerate(pages):
        with raw.decoding("TIFF"):
            plane = _plane(decode_tiff_slice(page, alone=len(every) == 1), raw, notes, ranges)
        if stored is None:
            shape = (plane.shape[1], plane.shape[0], len(pages))
            stored = values_on_disk(room / "values.npy", plane.dtype, shape)
        if plane.T.shape != stored.shape[:2] or plane.dtype != stored.dtype:
            raise raw.error(
                f"its slices are not alike: {plane.shape[1]}x{plane.shape[0]} pixels of "
                f"{plane.dtype} follow {stored.shape[0]}x{stored.shape[1]} of {stored.dtype}"
            )
        stored[:, ::-1, k] = plane.T
        known = plane[np.isfinite(plane)]
        if known.size:
            low, high = min(low, float(known.min())), max(high, float(known.max()))
    assert stored is not None
    if low > high:
        raise raw.error("it holds no values: all are NaN")
    window, said = _window(list(ranges), (low, high))
    spacing, lacking = _spacing(every[0])
    told = ("; ".join([said, *lacking]), _NOTE, *notes)
    return Volume(stored, _AS_PAGES, window, (low, high), spacing=spacing, notes=told)


def _plane(
    found: Decoded,
    raw: Raw,
    notes: dict[str, None],
    ranges: dict[tuple[float, float] | None, None],
) -> NDArray[Any]:
    """Return a slice, (H, W), integers of 16 bits at most or float32; add what it says."""
    if found.pixels.ndim != 2:
        raise raw.error("its slices are in colour: fuse them one by one")
    if found.alpha is not None:
        raise raw.error("its slices have an alpha channel: save them without")
    if found.metadata.orientation not in (None, 1):
        raise raw.error("its slices are stored turned (Orientation): save them upright")
    notes |= dict.fromkeys(found.notes)
    ranges[found.stored_range] = None
    plane = found.pixels
    if plane.dtype.itemsize > 2 or plane.dtype.kind == "f" or found.no_data is not None:
        plane = plane.astype(np.float32)
    if found.no_data is not None:
        plane[plane == np.float32(found.no_data)] = np.nan
    return plane


def _window(
    ranges: list[tuple[float, float] | None], ends: tuple[float, float]
) -> tuple[tuple[float, float], str]:
    """Return what is black and white in all slices, and where that is from."""
    said = ranges[0]
    if len(ranges) == 1 and said is not None:
        return said, f"range of the file: {said[0]:g} to {said[1]:g}"
    if ends[0] == ends[1]:
        return ends, f"all its values are {ends[0]:g}: black; --range K:LO,HI says another"
    return ends, f"range of the volume: {ends[0]:g} to {ends[1]:g}; --range K:LO,HI says another"


@dataclass(frozen=True)
class _Length:
    """A length as a file says it; no text where it does not."""

    name: str
    text: str | None
    unit: str

    @property
    def millimetres(self) -> float:
        """What it is; NaN where it is no distance."""
        scale = _MILLIMETRES.get(self.unit.lower(), math.nan)
        try:
            size = float(self.text or "") * scale
        except ValueError:
            return math.nan
        return size if _LEAST < size < _MOST else math.nan

    def __str__(self) -> str:
        return f"{self.name} {f'{self.text} {self.unit}'[:40].strip()!r}"


def _spacing(first: Directory) -> tuple[tuple[float, float, float] | None, list[str]]:
    """Return how far pixels and slices are apart, millimetres across, up and through; and notes.

    NaN where that is not known, of which the notes tell; None where nothing is.
    """
    description = (first.octets(_DESCRIPTION) or b"").rstrip(b"\0").decode("utf-8", "replace")
    of_imagej = description.startswith("ImageJ=")
    found = _lengths_of_imagej(first, description) if of_imagej else _lengths_of_ome(description)
    x, y, z = (length.millimetres for length in found)
    wrong = [str(each) for each in found if each.text is not None and math.isnan(each.millimetres)]
    unsaid = [each.name for each in found if each.text is None]
    notes = []
    if len(unsaid) == len(found):
        notes.append("how far its pixels and slices are apart, it does not say")
    elif unsaid:
        notes.append(f"it does not say {' and '.join(unsaid)}")
    if wrong:
        left_out = "is no distance: it is" if len(wrong) == 1 else "are no distances: they are"
        notes.append(f"its {' and '.join(wrong)} {left_out} left out")
    return None if all(map(math.isnan, (x, y, z))) else (x, y, z), notes


def _lengths_of_ome(description: str) -> list[_Length]:
    start = re.search(r"<(?:\w+:)?Pixels\b[^>]*", description)
    said: Mapping[str, str] = dict(
        re.findall(r"\b(PhysicalSize\w+)\s*=\s*[\"']([^\"']*)", start[0] if start else "")
    )
    names = [f"PhysicalSize{axis}" for axis in "XYZ"]
    return [_length(name, said.get(name), said.get(f"{name}Unit", "µm")) for name in names]


def _lengths_of_imagej(first: Directory, description: str) -> list[_Length]:
    lines = [line.partition("=") for line in description.splitlines()]
    said = {key: value for key, _, value in lines}
    unit = said.get("unit", "").replace("\\u00B5", "µ")
    tags = [first.tag(code) for code in (_X_RESOLUTION, _Y_RESOLUTION)]
    # What libraries write where there is no scale; ImageJ itself says 1 as a million by a million.
    scaled = any(tag != rational(1) for tag in tags)
    sizes = [_size(tag) if scaled else None for tag in tags]
    names = ("pixel width", "pixel height", "spacing")
    values = [*sizes, said.get("spacing")]
    return [_length(name, value, unit) for name, value in zip(names, values, strict=True)]


def _length(name: str, text: str | None, unit: str) -> _Length:
    unit = html.unescape(unit).strip().replace("μ", "µ")
    return _Length(name, None if unit.lower() in _NO_UNITS else text, unit)


def _size(resolution: Tag | None) -> str | None:
    """Return the size of a pixel of which a resolution counts so many a unit."""
    try:
        return None if resolution is None else f"{1 / resolution.fraction():.12g}"
    except (ValueError, ZeroDivisionError):
        return "inf"
