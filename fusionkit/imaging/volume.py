"""Volumes: what scanners measure in space, and the images that slices of it are."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.errors import ImageError
from fusionkit.imaging.decoded import Decoded
from fusionkit.imaging.grid import Grid, check_comparable, grid_of, sampled
from fusionkit.imaging.metadata import NO_METADATA, by_spacing

AXES = "xyz"
"""The patient's: from left to right, from back to front, from feet to head."""

_LPS = np.array([-1.0, -1.0, 1.0])  # which way they go where coordinates are DICOM's

Runs = tuple[tuple[int, bool], ...]


def axes_of(matrix: NDArray[np.float64]) -> Runs:
    """Return which axis of an array runs along each of the patient's, and whether backwards.

    Parameters
    ----------
    matrix : array, (4, 4)
        From indices to millimetres, as :meth:`Grid.matrix` has it.
    """
    steps = matrix[:3, :3] * _LPS[:, np.newaxis]
    left, _, right = np.linalg.svd(steps / np.linalg.norm(steps, axis=0))
    turned = left @ right  # without what is sheared
    best = max(permutations(range(3)), key=lambda order: sum(abs(turned[range(3), order])))
    return tuple((axis, bool(turned[n, axis] < 0)) for n, axis in enumerate(best))


def values_on_disk(
    place: Path, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> np.memmap[Any, np.dtype[Any]]:
    """Make a file of values, in the order of Fortran, whose room is taken at once.

    A disk that is full when a page of it is written would end the process (SIGBUS).

    Raises
    ------
    ImageError
        There is not so much room.
    """
    try:
        made = np.lib.format.open_memmap(place, "w+", dtype, shape, fortran_order=True)
        if hasattr(os, "posix_fallocate"):  # elsewhere, only the system can tell
            with open(place, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, place.stat().st_size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        size = math.prod(shape) * np.dtype(dtype).itemsize
        raise ImageError(
            f"{place.parent}: there is no room for {size} bytes of values: let TMPDIR name another "
            "folder"
        ) from error
    return made


@dataclass(frozen=True, eq=False)
class Volume:
    """Grey values in space, as a file or a folder of slices stores them.

    Attributes
    ----------
    values : array, (I, J, K)
        In the order of the file; integers of 8 or 16 bits, or floats, NaN where there is none. It
        may be on the disk.
    runs
        As :func:`axes_of` returns it.
    stored_range
        The values that stand for 0 and 1, in every slice.
    extremes
        The least and the greatest value.
    grid
        From indices (i, j, k) to millimetres; None where the file does not say where it lies.
    axis
        That of :data:`AXES` along which it is sliced if nobody says.
    patient
        As in :class:`Metadata`.
    notes
        What the person should know, phrases without the name.
    files
        Those that it was read from, if they are not the one that it is called after.
    name, sha256, reader
        What it is called, the hash of its file or files, and what decoded it: the host says so.
    spacing
        Millimetres between values along (i, j, k), where that is all that is known of its place;
        NaN along an axis of which it is not known.
    """

    values: NDArray[Any]
    runs: Runs
    stored_range: tuple[float, float]
    extremes: tuple[float, float]
    grid: Grid | None = None
    axis: str = "z"
    patient: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    name: str = ""
    sha256: str = ""
    reader: str | None = None
    spacing: tuple[float, float, float] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """How many slices there are along x, y and z."""
        x, y, z = (self.values.shape[axis] for axis, _ in self.runs)
        return x, y, z

    def count(self, axis: str) -> int:
        """Return how many slices there are along an axis."""
        return self.shape[AXES.index(axis)]

    def shown(self, axis: str, number: int) -> NDArray[Any]:
        """Return a slice as radiologists look at it, (H, W): a view, which can be written to.

        Slices count from 0, along the patient's axis. The patient's right, or front, is at the
        left, and the head, or the front, above.
        """
        along = self.values.transpose([each for each, _ in self.runs])
        along = along[tuple(slice(None, None, -1 if back else 1) for _, back in self.runs)]
        index = [slice(None)] * 3
        index[AXES.index(axis)] = slice(number, number + 1)
        flat: NDArray[Any] = along[tuple(index)].squeeze(AXES.index(axis))
        return flat.T[::-1, ::-1]

    def slice(self, axis: str, number: int) -> Decoded:
        """Return a slice as an image, with its place in space; see :meth:`shown`."""
        grid = self.place(axis, number)
        metadata = NO_METADATA
        if grid is not None and grid.unit == "mm":
            across, down = (float(np.linalg.norm(each)) for each in (grid.across, grid.down))
            metadata = by_spacing(across, down)
        elif grid is None and self.spacing is not None:
            shown = [each for n, (each, _) in enumerate(self.runs) if AXES[n] != axis]
            metadata = by_spacing(*(self.spacing[each] for each in shown))
        return Decoded(
            np.ascontiguousarray(self.shown(axis, number)),
            stored_range=self.stored_range,
            metadata=replace(metadata, grid=grid, patient=self.patient),
        )

    def place(self, axis: str, number: int) -> Grid | None:
        """Return where a slice lies, as it is shown."""
        if self.grid is None:
            return None
        along = AXES.index(axis)
        shown = np.zeros((4, 4))  # from (column, row, slice) to the patient's axes
        shown[along, 2:] = 1, number
        for at, n in enumerate(n for n in range(3) if n != along):
            shown[n, at], shown[n, 3] = -1, self.shape[n] - 1
        shown[3, 3] = 1
        stored = np.zeros((4, 4))  # and from these to indices
        for n, (each, back) in enumerate(self.runs):
            stored[each, n], stored[each, 3] = (-1, self.shape[n] - 1) if back else (1, 0)
        stored[3, 3] = 1
        about = {name: getattr(self.grid, name) for name in ("unit", "space", "frame", "series")}
        grid = grid_of(self.grid.matrix() @ stored @ shown, **about)
        thick = self.grid.thick if self.runs[along][0] == 2 else 0.0  # of slices as measured
        return replace(grid, thick=thick, number=number + 1)

    def on(self, grid: Grid, size: tuple[int, int]) -> Decoded:
        """Return what it shows on a grid of so many rows and columns, linearly interpolated.

        Raises
        ------
        ValueError
            It does not say where it lies, or means another space.
        """
        if self.grid is None:
            raise ValueError("it does not say where it lies in space")
        check_comparable(grid, self.grid.space, self.grid.frame)
        to_index = np.linalg.inv(self.grid.matrix()) @ grid.matrix()
        (found,), inside = sampled(self.values[np.newaxis], to_index, size)
        return Decoded(
            found,
            notes=("interpolated on the grid of the first source",),
            stored_range=self.stored_range,
            metadata=replace(NO_METADATA, grid=grid),
            mask=None if inside.all() else inside,
        )

    def part(self, axis: str, first: int, last: int, values: NDArray[Any]) -> Volume:
        """Return the volume of slices ``first`` to ``last``, with other values, (I, J, K)."""
        along, back = self.runs[AXES.index(axis)]
        begin = self.count(axis) - 1 - last if back else first
        grid = self.grid
        if grid is not None:
            moved = grid.matrix()
            moved[:3, 3] += begin * moved[:3, along]
            origin = tuple(map(float, moved[:3, 3]))
            grid = replace(grid, origin=origin)  # type: ignore[arg-type]
        return replace(self, values=values, grid=grid)
