"""Where the pixels of an image lie in space, as files of scanners say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = tuple[float, float, float]


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
    """

    origin: Vector
    across: Vector
    down: Vector
    through: Vector
    unit: str = "mm"
    space: str = "scanner"
    frame: str = ""
    series: str = ""

    def matrix(self) -> NDArray[np.float64]:
        """Return the affine map, (4, 4), from (column, row, slice, 1) to millimetres."""
        columns = [(*each, 0.0) for each in (self.across, self.down, self.through)]
        return np.array([*columns, (*self.origin, 1.0)]).T


def grid_of(matrix: NDArray[np.float64], **said: str) -> Grid:
    """Return the grid of an affine map, as :meth:`Grid.matrix` has it.

    Raises
    ------
    ValueError
        It is none: not finite, or flat.
    """
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-12:
        raise ValueError("what it says of its place in space is none")
    across, down, through, origin = (tuple(map(float, column)) for column in matrix[:3].T)
    return Grid(origin, across, down, through, **said)  # type: ignore[arg-type]
