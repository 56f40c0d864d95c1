"""Where the pixels of an image lie in space, as files of scanners say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.imaging.values import bands

Vector = tuple[float, float, float]

_ATLASES = frozenset(("talairach", "mni", "template"))
_REACH = 0.5 + 1e-6  # voxels beyond the middle of the last one that it still shows


@dataclass(frozen=True)
class Grid:
    """Where pixels lie: millimetres along the patient's axes, as DICOM has them.

    x grows to the patient's left, y to the back, z to the head (LPS; PS3.3, C.7.6.2.1.1).

    Attributes
    ----------
    origin
        The middle of the first pixel.
    across, down
        From the middle of a pixel to that of the next one of its row, and of its column.
    through
        From the middle of a slice to that of the next; as long as the slice is thick.
    unit
        What the file counts in, as NIfTI calls it; ``unknown`` is taken for millimetres.
    space
        What the file's coordinates are, as NIfTI calls it: scanner, aligned, mni, ...
    frame
        The same for all that lies in one space; empty where the file does not say.
    series
        The same for all slices of one volume; empty where the file does not say.
    thick
        How thick the slice is, where that is known to be another length than that of `through`.
    number
        Of the slice in its volume, from 1; 0 where the file does not say.
    """

    origin: Vector
    across: Vector
    down: Vector
    through: Vector
    unit: str = "mm"
    space: str = "scanner"
    frame: str = ""
    series: str = ""
    thick: float = 0.0
    number: int = 0

    def matrix(self) -> NDArray[np.float64]:
        """Return the affine map, (4, 4), from (column, row, slice, 1) to millimetres."""
        columns = [(*each, 0.0) for each in (self.across, self.down, self.through)]
        return np.array([*columns, (*self.origin, 1.0)]).T


def check_comparable(one: Grid, space: str, frame: str = "") -> None:
    """Raise ValueError where coordinates mean another place than those of a grid do.

    ``space`` and ``frame`` are as in :class:`Grid`.
    """
    if one.frame and frame and one.frame != frame:
        raise ValueError(
            "its frame of reference is another than that of the first source: register them first"
        )
    if one.space != space and _ATLASES & {one.space, space}:
        raise ValueError(f"its coordinates are {space}, and those of the first are {one.space}")


def sampled(
    maps: NDArray[Any], to_index: NDArray[np.float64], size: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Interpolate a volume where the pixels of a grid lie in it.

    Parameters
    ----------
    maps : array, (C, X, Y, Z)
        C volumes that lie on one another. An axis of one slice is as thick as that.
    to_index : array, (4, 4)
        From (column, row, 0, 1) of the grid to indices (x, y, z, 1) of the volume.
    size : (int, int)
        Rows and columns of the grid.

    Returns
    -------
    values : array, (C, H, W)
        Trilinear between the middles of voxels, in the type of `maps`; 0 outside.
    inside : array of bool, (H, W)
        Where the grid lies in the volume, whose voxels reach to half of their size.
    """
    from scipy.ndimage import map_coordinates

    values = np.zeros((len(maps), *size), maps.dtype)
    inside = np.zeros(size, np.bool_)
    shape = np.array(maps.shape[1:]).reshape(3, 1, 1)
    for rows in bands(*size):
        row, column = np.mgrid[rows, : size[1]].astype(np.float64)
        zero, one = np.zeros_like(row), np.ones_like(row)
        at = np.einsum("ij,jhw->ihw", to_index, np.stack([column, row, zero, one]))[:3]
        inside[rows] = ((at >= -_REACH) & (at <= shape - 1 + _REACH)).all(0)
        for n, volume in enumerate(maps):
            found = map_coordinates(
                volume, at.clip(0, shape - 1), np.float64, order=1, mode="nearest"
            )
            known = np.where(inside[rows], found, 0)
            values[n, rows] = np.rint(known) if maps.dtype.kind in "ui" else known
    return values, inside


def grid_of(matrix: NDArray[np.float64], **said: str | float) -> Grid:
    """Return the grid of an affine map, as :meth:`Grid.matrix` has it, and what else is said.

    Raises
    ------
    ValueError
        It is none: not finite, or flat.
    """
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
        raise ValueError("what it says of its place in space is none")
    across, down, through, origin = (tuple(map(float, column)) for column in matrix[:3].T)
    return Grid(origin, across, down, through, **said)  # type: ignore[arg-type]
