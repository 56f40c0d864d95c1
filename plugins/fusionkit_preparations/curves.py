"""Curves of brightness between two frames, y = a x^p, fitted where some of the points lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ROUNDS = 30
_TINY = 1e-4  # of a residual, in logarithms
_TO_DEVIATION = 1.4826  # of the median absolute deviation of normal numbers
_CLOSER = 1.25  # by which points must lie closer to a curve with a power
_WIDE = 0.25  # deviation of log x from which on a power can be told from a gain


@dataclass(frozen=True)
class Curve:
    """y = gain x^power for x > 0, and gain x below.

    ``error`` is the standard error of log y at the mid-tone x = 0.5.
    """

    gain: float
    power: float
    error: float

    def __call__(self, x: Any) -> Any:
        """Apply it to a number, or an array in about [0, 1], in its dtype."""
        x = np.asarray(x)
        powered = np.maximum(x, 0) ** x.dtype.type(self.power) if x.dtype.kind == "f" else x
        return (x.dtype.type(self.gain) * np.where(x > 0, powered, x)).astype(x.dtype)


def fitted(x: Array, y: Array) -> tuple[Curve, float]:
    """Fit a curve to points (N,) > 0 by least absolute deviations in logarithms.

    A power is fitted only where x spreads widely enough, and points then lie closer to the curve.

    Returns
    -------
    curve, spread
        The spread is the standard deviation of log y about it, by the median of residuals.
    """
    u, v = np.log(x / 0.5), np.log(y / 0.5)
    plain = float(np.median(v - u))
    left = np.abs(v - u - plain)
    gain, power = plain, 1.0
    if u.std() > _WIDE:
        offset, slope = _line(u, v)
        bent = np.abs(v - offset - slope * u)
        if _CLOSER * np.median(bent) < np.median(left):
            gain, power, left = offset, slope, bent
    spread = _TO_DEVIATION * float(np.median(left))
    error = 1.25 * spread / float(np.sqrt(len(u)))  # of a median
    return Curve(float(np.exp(gain)) * 0.5 ** (1 - power), power, error), spread


def _line(u: Array, v: Array) -> tuple[float, float]:
    """Return offset and slope of the line of least absolute deviations, by reweighting."""
    weights = np.ones_like(u)
    offset = slope = 0.0
    for _ in range(_ROUNDS):
        total = weights.sum()
        mean_u, mean_v = (weights * u).sum() / total, (weights * v).sum() / total
        slope = (weights * (u - mean_u) * (v - mean_v)).sum() / (weights * (u - mean_u) ** 2).sum()
        offset = mean_v - slope * mean_u
        weights = 1 / np.maximum(np.abs(v - offset - slope * u), _TINY)
    return float(offset), float(slope)
