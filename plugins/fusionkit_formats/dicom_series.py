"""Volumes of DICOM: a folder of slices that are one series, or the frames of a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from fusionkit import Decoded
from fusionkit.imaging import Grid, Volume, axes_of, grid_of, values_on_disk

from .apart import VALUES
from .dicom import decode_frame, frames_of, place_of, window_of
from .dicom_writing import FUSED

AXES = "xyz"
_UNEVEN = 0.05  # of the distance of slices
_DEFLATED = 1032  # bytes that Deflate makes of one at most
_FLOATS = (
    "RescaleSlope",
    "ModalityLUTSequence",
    "PixelPaddingValue",
    "SharedFunctionalGroupsSequence",
)


@dataclass(frozen=True)
class _Slice:
    """A frame of a file, and where it lies."""

    path: str
    frame: int
    grid: Grid
    size: tuple[int, int]
    floats: bool

    @property
    def name(self) -> str:
        return os.path.basename(self.path)


def read_volume(name: str, part: str, room: Path) -> Volume:
    """Read a series, its values into a file; ``part`` is its number, if a folder holds several.

    Black and white are the window of its slices, that of the middle one where they differ, or
    the least and the greatest value. Padding is NaN.

    Raises
    ------
    ValueError
        Slices do not lie on one another, or not equally far apart.
    """
    slices = _sorted(_slices(name, part))
    grid = _grid(slices)
    rows, columns = slices[0].size
    floats = any(each.floats for each in slices)
    stored: NDArray[Any] | None = None
    low, high = np.inf, -np.inf
    windows: list[tuple[float, float, bool]] = []
    patient: dict[str, str] = {}
    opened: Any = None
    path = ""
    for k, each in enumerate(slices):
        if each.path != path:
            opened, path = pydicom.dcmread(each.path), each.path
        found = _decoded(opened, each)
        if found.pixels.ndim != 2:
            raise ValueError("its slices are in colour: fuse them one by one")
        plane = found.pixels.astype(np.float32) if floats else found.pixels
        if stored is None:
            shape = (columns, rows, len(slices))
            stored = values_on_disk(room / VALUES, plane.dtype, shape)
            patient = dict(found.metadata.patient)
        if plane.dtype != stored.dtype:
            raise ValueError(f"{each.name} holds {plane.dtype}, and others {stored.dtype}")
        if found.no_data is not None and floats:
            plane[plane == np.float32(found.no_data)] = np.nan
        stored[..., k] = plane.T
        known = plane[np.isfinite(plane)]
        if known.size:
            low, high = min(low, float(known.min())), max(high, float(known.max()))
        first, last, _, said = window_of(opened)
        windows.append((first, last, said))
    assert stored is not None
    if low > high:
        raise ValueError("it holds no values: all are padding")
    bounds, note = _range(windows, (low, high))
    if len(set(windows)) > 1 and opened.PhotometricInterpretation == "MONOCHROME1":
        raise ValueError("its slices are MONOCHROME1 and have different windows: save them anew")
    runs = axes_of(grid.matrix())
    return Volume(
        stored,
        runs,
        bounds,
        (low, high),
        grid,
        AXES[[axis for axis, _ in runs].index(2)],
        patient,
        (note,),
        tuple(dict.fromkeys(each.path for each in slices)),
    )


def _decoded(opened: Any, slice_: _Slice) -> Decoded:
    try:
        return decode_frame(opened, slice_.frame)
    except MemoryError:
        raise
    except Exception as error:  # damaged data raise nearly anything
        raise ValueError(f"{slice_.name}: {error}") from error


def _slices(name: str, part: str) -> list[_Slice]:
    """Return the slices of a folder's only series, or of that which has a number."""
    folder = Path(name)
    paths = [folder] if folder.is_file() else sorted(p for p in folder.iterdir() if p.is_file())
    series: dict[str, list[tuple[str, Any]]] = {}
    for path in paths:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except pydicom.errors.InvalidDicomError:  # something else in the folder
            continue
        if "Rows" in header:  # of an image
            uid = str(header.get("SeriesInstanceUID") or "")
            series.setdefault(uid, []).append((str(path), header))
    if folder.is_file() and part:
        raise ValueError("all its frames are the volume: leave out the part")
    if not series:
        raise ValueError("it holds no images of DICOM")
    measured = {uid: found for uid, found in series.items() if not _is_fused(found[0][1])}
    series = measured or series  # what was made of them lies beside them
    numbers = {uid: str(found[0][1].get("SeriesNumber") or "") for uid, found in series.items()}
    chosen = [uid for uid, number in numbers.items() if number == part or not part]
    if len(chosen) != 1:
        raise ValueError(_no_choice(sorted(numbers.values()), part))
    found = []
    for place, header in series[chosen[0]]:
        _check_frames(place, header)
        for frame in range(frames_of(header)):
            grid = place_of(header, frame)
            if grid is None:
                raise ValueError(f"{os.path.basename(place)} does not say where it lies in space")
            size = int(header.Rows), int(header.Columns)
            floats = any(word in header for word in _FLOATS)
            floats |= header.get("PhotometricInterpretation") == "MONOCHROME1"
            found.append(_Slice(place, frame, grid, size, floats or int(header.BitsAllocated) > 16))
    return found


def _check_frames(path: str, header: Any) -> None:
    """Raise ValueError for more frames than a file has bytes for, before each is looked at."""
    frames, size = frames_of(header), os.path.getsize(path)
    syntax = header.file_meta.TransferSyntaxUID
    least = 8.0  # of an item that holds a compressed frame (PS3.5, A.4)
    if not syntax.is_encapsulated:
        samples = int(header.Rows) * int(header.Columns) * int(header.get("SamplesPerPixel") or 1)
        least = samples * int(header.BitsAllocated) / 8 / (_DEFLATED if syntax.is_deflated else 1)
    if frames > 1 and frames * least > size:
        raise ValueError(
            f"{os.path.basename(path)} says that it holds {frames} frames, and has {size} bytes"
        )


def _no_choice(numbers: Sequence[str], part: str) -> str:
    """Say that none, or several, of the series that have these numbers are meant by a part."""
    told = [f"#{number}" for number in numbers if number]
    if len(numbers) == 1:
        which = f"and it is {told[0]}" if told else "and it has no number"
        return f"it holds one series, {which}: there is no #{part}: leave that out"
    unnumbered = len(numbers) - len(told)
    listed = ", ".join(told + ([f"{unnumbered} without a number"] if unnumbered else []))
    missing = f", and no #{part}" if part and part not in numbers else ""
    once = [number for number in numbers if number and numbers.count(number) == 1]
    say = f"say which by its number, such as FOLDER#{once[0]}, or " if once else ""
    return (
        f"it holds {len(numbers)} series ({listed}){missing}: {say}put each into a folder of its "
        "own"
    )


def _is_fused(header: Any) -> bool:
    """Whether a file is a result, which is no slice of what lies beside it."""
    return str(header.get("DerivationDescription") or "") == FUSED


def _sorted(slices: Sequence[_Slice]) -> list[_Slice]:
    """Return slices in the order in which they lie in space, along what is across to them."""
    first = slices[0]
    plane = np.array([first.grid.across, first.grid.down])
    for each in slices:
        other = np.array([each.grid.across, each.grid.down])
        if each.size != first.size or np.abs(other - plane).max() > 1e-3 * np.abs(plane).max():
            raise ValueError(
                f"{first.name} and {each.name} differ in size, spacing or direction: they are no "
                "slices of one volume"
            )
    normal = np.cross(*plane)
    return sorted(slices, key=lambda each: (float(np.dot(each.grid.origin, normal)), each.path))


def _grid(slices: Sequence[_Slice]) -> Grid:
    """Return where the volume of slices lies, which are equally far apart."""
    first = slices[0].grid
    if len(slices) == 1:
        return replace(first, number=0)
    origins = np.array([each.grid.origin for each in slices])
    steps = np.diff(origins, axis=0)
    apart = np.linalg.norm(steps, axis=1)
    usual = np.median(steps, axis=0)
    off = np.linalg.norm(steps - usual, axis=1)
    nearest, worst = int(apart.argmin()), int(off.argmax())
    if apart[nearest] <= 1e-3:
        raise ValueError(
            f"{slices[nearest].name} and {slices[nearest + 1].name} lie at one place: a volume has "
            "one slice there; other times, echoes or kernels belong into folders of their own"
        )
    if off[worst] > max(_UNEVEN * np.linalg.norm(usual), 0.01):
        raise ValueError(
            f"{slices[worst].name} and {slices[worst + 1].name} are {apart[worst]:.3g} mm apart, "
            f"and other slices {np.linalg.norm(usual):.3g} mm: one is missing, or they are no even "
            "volume"
        )
    step = (origins[-1] - origins[0]) / len(steps)
    matrix = first.matrix()
    matrix[:3, 2] = step
    thick = float(np.linalg.norm(first.through))
    return grid_of(matrix, frame=first.frame, series=first.series, thick=thick)


def _range(
    windows: Sequence[tuple[float, float, bool]], ends: tuple[float, float]
) -> tuple[tuple[float, float], str]:
    """Return what is black and white in all slices, and where that is from."""
    low, high, _ = windows[len(windows) // 2]
    if not all(each[2] for each in windows):
        if ends[0] == ends[1]:
            return ends, f"all its values are {ends[0]:g}: black; --range K:LO,HI is another"
        return ends, f"range of the volume: {ends[0]:g} to {ends[1]:g}; --range K:LO,HI is another"
    if len(set(windows)) > 1:
        return (low, high), f"windows of its slices differ: that of the middle, {low:g} to {high:g}"
    return (low, high), f"window of the files: {low:g} to {high:g}"
