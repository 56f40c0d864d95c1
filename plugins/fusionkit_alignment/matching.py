"""The motion between two images: Gauss-Newton on their edges, and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import grid_sample

from .edges import Array, Level, gradient
from .motion import PARAMETERS, Matrix, Points, directions, grid, matrix_of, moved, normalised

TILES = 6
"""Parts along each axis, whose disagreement says how sure a motion is."""

LEAST_OVERLAP = 0.4
"""Of the reference: what less of it is seen by the source is no motion that is looked for."""

_ITERATIONS = 30
_ENOUGH = 0.01  # of a level's pixel: a step below it is the last


@dataclass(frozen=True, eq=False)
class Fit:
    """A motion, and how well edges agree then.

    Attributes
    ----------
    matrix
        See :mod:`.motion`.
    score
        The correlation of edges over what both show, at most 1.
    error
        The standard error of the motion, in pixels of the image.
    """

    matrix: Matrix
    score: float
    error: float


def sampled(maps: Array, points: Points, level: Level) -> tuple[Array, NDArray[np.bool_]]:
    """Interpolate maps (C, h, w) of a level linearly at points; say which lie inside."""
    h, w = maps.shape[-2:]
    x, y = (
        (along + whole / 2) / level.factor - 0.5
        for along, whole in zip(points, reversed(level.size), strict=True)
    )
    inside = (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)
    unit = np.stack([x * (2 / (w - 1)) - 1, y * (2 / (h - 1)) - 1], -1).astype(np.float32)
    made = grid_sample(
        torch.from_numpy(maps)[None],
        torch.from_numpy(unit)[None],
        padding_mode="border",
        align_corners=True,
    )
    return made[0].numpy() * inside, inside


def score_of(reference: Level, source: Level, matrix: Matrix) -> float:
    """Return the correlation of edges over what both show, after a motion."""
    points = grid(_size(reference), reference.size, reference.factor)
    edges, inside = sampled(source.edges, moved(matrix, points), source)
    return _correlation(reference.edges * inside, edges)


def refined(reference: Level, source: Level, matrix: Matrix, model: str) -> Fit:
    """Return the motion near another at which edges agree best.

    Minimises |e_1 - a e_2(M p)|² over what both show, a the gain of the least squares (as ECC
    does: Evangelidis and Psarakis, IEEE TPAMI 30, 2008, 1858-1865), by Gauss-Newton steps that
    are composed with the motion. The standard error is from how the gradients
    of :data:`TILES` x :data:`TILES` parts disagree (White's sandwich), and so needs no
    model of the noise.

    Parameters
    ----------
    reference, source
        Of one resolution.
    matrix
        Where to begin: within a pixel or two of the level.
    model
        A key of :data:`.motion.PARAMETERS`.
    """
    count, factor = PARAMETERS[model], reference.factor
    points = grid(_size(reference), reference.size, factor)
    x, y = points
    basis = directions((x.astype(np.float32), y.astype(np.float32)), count, reference.size)
    best = Fit(matrix, -1.0, math.inf)
    for _ in range(_ITERATIONS):
        edges, inside = sampled(source.edges, moved(matrix, points), source)
        known = reference.edges * inside
        score = _correlation(known, edges)
        if score <= best.score or inside.mean() < LEAST_OVERLAP:
            break
        gain = float((known * edges).sum() / max(float((edges * edges).sum()), 1e-9))
        gx, gy = (along * (gain / factor) for along in gradient(edges))
        slopes = np.stack([gx * along + gy * across for along, across in basis])
        normal, pulls = _sums(slopes, known - gain * edges)
        if np.linalg.cond(normal) > 1e9:  # nothing to go by, along some direction
            return Fit(matrix, score, math.inf)
        inverse = np.linalg.inv(normal)
        step = inverse @ pulls.sum(0)
        spread = inverse @ (pulls.T @ pulls) @ inverse
        best = Fit(matrix, score, math.sqrt(float(np.trace(spread))))
        size = float(np.abs(step).max())
        step *= min(1.0, 3 * factor / max(size, 1e-9))
        matrix = normalised(matrix @ matrix_of(step, reference.size))
        if size < _ENOUGH * factor:
            break
    return best


def _sums(slopes: Array, left: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the normal matrix (P, P), and the gradients of all parts (T, P).

    ``slopes`` are (P, 2, h, w), ``left`` is (2, h, w). Not by BLAS: its sums depend on the number
    of threads.
    """
    height, width = (side // TILES for side in left.shape[-2:])
    count = len(slopes)
    normal = np.zeros((count, count))
    pulls = []
    for row in range(TILES):
        for column in range(TILES):
            part = (
                ...,
                slice(row * height, (row + 1) * height),
                slice(column * width, (column + 1) * width),
            )
            here = slopes[part].reshape(count, -1)
            normal += np.einsum("pn,qn->pq", here, here)
            pulls.append(np.einsum("pn,n->p", here, left[part].reshape(-1)))
    return normal, np.array(pulls, np.float64)


def _correlation(a: Array, b: Array) -> float:
    power = float((a * a).sum()) * float((b * b).sum())
    return float((a * b).sum()) / math.sqrt(max(power, 1e-12))


def _size(level: Level) -> tuple[int, int]:
    height, width = level.edges.shape[-2:]
    return height, width
