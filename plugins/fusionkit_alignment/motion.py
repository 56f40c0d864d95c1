"""Motions between images: matrices (3, 3) of a few parameters, which all are in pixels.

Points are (x, y) in pixels from the middle of the image, x to the right, y down. A motion takes a
point of the reference to the point of the source that shows the same.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Points = tuple[NDArray[Any], NDArray[Any]]

PARAMETERS = {"translation": 2, "similarity": 4, "homography": 8}
"""How many parameters a model has; they are the first of those of the next model."""


def still() -> Matrix:
    """Return no motion."""
    return np.eye(3)


def reach(size: tuple[int, int]) -> float:
    """Return half the diagonal of an image (H, W)."""
    return math.hypot(*size) / 2


def matrix_of(parameters: NDArray[Any], size: tuple[int, int]) -> Matrix:
    """Return the motion of 2, 4 or 8 parameters: about how far a corner moves by each.

    Parameters
    ----------
    parameters
        A shift along x and y; growth and turn; what an affinity has beyond them (two); what a
        homography has beyond that (two).
    size
        (H, W) of the image.
    """
    p = np.zeros(8)
    p[: len(parameters)] = parameters
    grow, turn, stretch, shear, *fall = p[2:] / reach(size)
    return np.array(
        [
            [1 + grow + stretch, shear - turn, p[0]],
            [turn + shear, 1 + grow - stretch, p[1]],
            [fall[0] / reach(size), fall[1] / reach(size), 1.0],
        ]
    )


def directions(points: Points, count: int, size: tuple[int, int]) -> list[Points]:
    """Return how points begin to move, along x and y, with each of so many parameters."""
    u, v = (along / np.float32(reach(size)) for along in points)
    one, none = np.ones_like(u), np.zeros_like(u)
    moves = [(one, none), (none, one), (u, v), (-v, u), (u, -v), (v, u)]
    moves += [(-u * u, -u * v), (-u * v, -v * v)]
    return moves[:count]


def turned(turn: float, growth: float) -> Matrix:
    """Return a turn in radians, clockwise as the image is seen, and a growth about the middle."""
    c, s = growth * math.cos(turn), growth * math.sin(turn)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def shifted(x: float, y: float) -> Matrix:
    """Return a shift."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def normalised(matrix: Matrix) -> Matrix:
    """Return the same motion, its last number 1."""
    scaled: Matrix = matrix / matrix[2, 2]
    return scaled


def moved(matrix: Matrix, points: Points) -> Points:
    """Return where a motion takes points."""
    x, y = points
    depth = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    return (
        (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]) / depth,
        (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) / depth,
    )


def grid(size: tuple[int, int], full: tuple[int, int], factor: float = 1) -> Points:
    """Return the middles of the pixels (h, w) of an image whose pixels are larger by a factor.

    They are in pixels of the full image (H, W), with whose first row and column it begins.
    """
    axes = [
        (np.arange(side) + 0.5) * factor - whole / 2 for side, whole in zip(size, full, strict=True)
    ]
    x, y = np.meshgrid(axes[1], axes[0])
    return x, y


def distance(a: Matrix, b: Matrix, size: tuple[int, int]) -> float:
    """Return how far apart motions take the points of an image (H, W), root mean square."""
    axes = (np.linspace(-0.5, 0.5, 5) * side for side in reversed(size))
    x, y = np.meshgrid(*axes)
    (ax, ay), (bx, by) = moved(a, (x, y)), moved(b, (x, y))
    return math.sqrt(float(np.mean((ax - bx) ** 2 + (ay - by) ** 2)))


def described(matrix: Matrix) -> str:
    """Say what a motion does: the shift, the turn and the scale of what a source shows."""
    x, y = matrix[0, 2], matrix[1, 2]
    turn = math.degrees(math.atan2(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1]))
    growth = math.hypot(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1]) / 2
    said = f"shifted by {x:+.2f}, {y:+.2f} pixels"
    if abs(turn) >= 0.005:
        said += f", turned by {turn:+.2f} degrees"
    if abs(growth - 1) >= 5e-5:
        said += f", scaled by {growth:.4f}"
    return said
