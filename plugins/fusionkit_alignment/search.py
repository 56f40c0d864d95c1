"""Finding a motion from nothing: all turns, scales and shifts of the coarsest level, then finer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .edges import Array, Level
from .matching import LEAST_OVERLAP, Fit, refined, sampled, score_of
from .motion import Matrix, distance, grid, moved, normalised, shifted, still, turned

TURNS = tuple(np.radians(np.arange(-15.0, 16.0, 3.0)))
"""Turns that are tried, in radians."""

GROWTHS = tuple(1.06 ** np.arange(-4.0, 5.0))
"""Scales that are tried, from 0.79 to 1.26."""

LEAST_PEAK = 6.0
"""How far the agreement of edges rises above that of all other shifts, of their deviation."""

LEAST_RATIO = 1.25
"""How much more edges agree than at any other shift."""

_SUGGESTED = 8  # by the coarsest level
_CANDIDATES = (4, 2)  # that go on from it, and from the next
_GUARD = 4  # pixels of a level, around a motion, that belong to its peak
_PEAK_SIDE = 128  # pixels of the level, at least, at which the peak is looked at


@dataclass(frozen=True, eq=False)
class Found:
    """The motion between two images, and whether to believe it.

    Attributes
    ----------
    fit
        At the finest level.
    before
        The correlation of edges without a motion.
    peak, ratio
        Compare :data:`LEAST_PEAK` and :data:`LEAST_RATIO`.
    """

    fit: Fit
    before: float
    peak: float
    ratio: float

    @property
    def reliable(self) -> bool:
        """Whether edges agree there as nowhere around."""
        return self.peak >= LEAST_PEAK and self.ratio >= LEAST_RATIO


def found(
    reference: tuple[Level, ...],
    source: tuple[Level, ...],
    model: str,
    start: Matrix | None = None,
) -> Found:
    """Return the motion of a model between images, given by their levels from coarse to fine.

    ``start`` is a motion to try beside none and those that the coarsest level suggests.
    """
    turns, growths = ((0.0,), (1.0,)) if model == "translation" else (TURNS, GROWTHS)
    begin = [still(), *_suggested(reference[0], source[0], turns, growths)]
    begin += [] if start is None else [start]
    fits: list[Fit] = []
    for n, (one, other) in enumerate(zip(reference, source, strict=True)):
        last = n == len(reference) - 1
        # More is left to the finest level: a coarse one has too few pixels to say it.
        free = model if last or model == "translation" else "similarity"
        fits = [refined(one, other, matrix, free) for matrix in begin]
        fits.sort(key=lambda fit: -fit.score)
        keep = _CANDIDATES[n] if n < len(_CANDIDATES) else 1
        begin = _apart((fit.matrix for fit in fits), one, keep)
    best = fits[0]
    before = score_of(reference[-1], source[-1], still())
    at = next((n for n, level in enumerate(reference) if _side(level) >= _PEAK_SIDE), -1)
    return Found(best, before, *_peak(reference[at], source[at], best.matrix))


def _apart(motions: Iterable[Matrix], level: Level, count: int) -> list[Matrix]:
    """Return the first so many motions, without those within a pixel of one before."""
    kept: list[Matrix] = []
    for motion in motions:
        if len(kept) == count:
            break
        if all(distance(motion, other, level.size) > level.factor for other in kept):
            kept.append(motion)
    return kept


def _suggested(
    reference: Level, source: Level, turns: tuple[float, ...], growths: tuple[float, ...]
) -> list[Matrix]:
    """Return motions at which edges agree, the best shift of every turn and scale, best first."""
    h, w = reference.edges.shape[-2:]
    size = (2 * h, 2 * w)
    points = grid((h, w), reference.size, reference.factor)
    one = np.fft.rfft2(reference.edges, size)
    one_power = np.fft.rfft2((reference.edges**2).sum(0), size)
    one_known = np.fft.rfft2(np.ones((h, w), np.float32), size)
    suggested = []
    for turn in turns:
        for growth in growths:
            motion = turned(turn, growth)
            edges, inside = sampled(source.edges, moved(motion, points), source)
            other = np.fft.rfft2(edges, size).conj()
            power = np.fft.rfft2((edges**2).sum(0), size).conj()
            known = np.fft.rfft2(inside.astype(np.float32), size).conj()
            both = np.fft.irfft2(
                np.stack([(one * other).sum(0), one_power * known, one_known * power]), size
            )
            overlap = np.fft.irfft2(one_known * known, size) / (h * w)
            energy = np.sqrt(np.maximum(both[1], 1e-3) * np.maximum(both[2], 1e-3))
            # Of a small overlap chance agrees more easily.
            agreement = both[0] / energy * np.sqrt(np.clip(overlap, 0, 1))
            agreement[overlap < LEAST_OVERLAP] = -1
            y, x = np.unravel_index(int(np.argmax(agreement)), size)
            dy, dx = int(y) - size[0] * (y >= h), int(x) - size[1] * (x >= w)
            back = shifted(-dx * reference.factor, -dy * reference.factor)
            suggested.append((float(agreement[y, x]), normalised(motion @ back)))
    suggested.sort(key=lambda each: -each[0])
    return _apart((motion for _, motion in suggested), reference, _SUGGESTED)


def _peak(reference: Level, source: Level, matrix: Matrix) -> tuple[float, float]:
    """Return how much more edges agree after a motion than shifted from it by up to a quarter."""
    points = grid(reference.edges.shape[-2:], reference.size, reference.factor)
    edges, inside = sampled(source.edges, moved(matrix, points), source)
    surface = _correlated(reference.edges * inside, edges)
    middle = tuple(side // 2 for side in surface.shape)
    rows, columns = np.ogrid[: surface.shape[0], : surface.shape[1]]
    away = np.maximum(abs(rows - middle[0]), abs(columns - middle[1])) > _GUARD
    near = surface[middle[0] - 1 : middle[0] + 2, middle[1] - 1 : middle[1] + 2].max()
    others = surface[away]
    peak = (near - others.mean()) / max(float(others.std()), 1e-9)
    return float(peak), float(near / max(float(np.abs(others).max()), 1e-9))


def _correlated(a: Array, b: Array) -> NDArray[np.float64]:
    """Return correlations of edges (2, h, w) over shifts of up to a quarter, none in the middle."""
    h, w = a.shape[-2:]
    size = (2 * h, 2 * w)
    product = (np.fft.rfft2(a, size) * np.fft.rfft2(b, size).conj()).sum(0)
    whole = np.fft.fftshift(np.fft.irfft2(product, size))
    cut: NDArray[np.float64] = whole[h - h // 4 : h + h // 4 + 1, w - w // 4 : w + w // 4 + 1]
    return cut


def _side(level: Level) -> int:
    return int(min(level.edges.shape[-2:]))
