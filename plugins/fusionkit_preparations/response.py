"""How a camera codes light: sRGB's curve, a power, or a curve that the frames themselves tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Points = NDArray[np.float64]

KNOTS = 12
"""Equal steps of the coded value in which a curve departs from sRGB's, in straight lines."""

STIFF = 0.03
"""Weight of the departure's slope against the points' mean distance, both in stops."""

_ROUNDS, _NEAR = 15, 0.03  # of reweighting; stops that count as met
_DARKEST = 1e-3  # coded; below, light is proportional to it
_TABLE = 1024
_STEP = 1 / 510


@dataclass(frozen=True)
class Response:
    """Light by coded value, both from 0 to 1.

    Attributes
    ----------
    gamma
        Light is code^gamma; None for sRGB's curve (IEC 61966-2-1).
    departure
        Stops by which light differs from that, at equal steps of the coded value; the last is 0.
    """

    gamma: float | None = None
    departure: tuple[float, ...] = ()

    def light(self, code: Array) -> Array:
        """Return linear light of coded values, which are clipped to [0, 1]."""
        code = np.clip(code, np.float32(0), np.float32(1))
        light: Array
        if self.departure:
            codes, logs = self._table()
            dark = np.minimum(code / np.float32(_DARKEST), 1)
            light = (dark * np.exp2(np.interp(code, codes, logs))).astype(np.float32)
        elif self.gamma is not None:
            light = np.power(code, np.float32(self.gamma))
        else:
            bent = np.power((code + np.float32(0.055)) / np.float32(1.055), np.float32(2.4))
            light = np.where(code <= 0.04045, code / np.float32(12.92), bent)
        return light

    def code(self, light: Array) -> Array:
        """Return coded values of linear light >= 0; beyond 1 the curve goes on as sRGB's."""
        code: Array
        if self.gamma is not None:
            code = np.power(light, np.float32(1 / self.gamma))
            return code
        bent = np.float32(1.055) * np.power(light, np.float32(1 / 2.4)) - np.float32(0.055)
        code = np.where(light <= 0.0031308, np.float32(12.92) * light, bent)
        if self.departure:
            codes, logs = self._table()
            inside = np.interp(np.log2(np.maximum(light, 2.0 ** logs[0])), logs, codes)
            dark = np.minimum(light / np.float32(2.0 ** logs[0]), 1)
            code = np.where(light < 1, dark * inside, code).astype(np.float32)
        return code

    def slope(self, code: Array) -> Array:
        """Return the derivative of light by coded values in [0, 1]; above 0."""
        low = np.clip(code - np.float32(_STEP), 0, 1 - 2 * np.float32(_STEP))
        return (self.light(low + np.float32(2 * _STEP)) - self.light(low)) / np.float32(2 * _STEP)

    def _table(self) -> tuple[Points, Points]:
        codes = np.linspace(_DARKEST, 1, _TABLE)
        logs = np.log2(Response(self.gamma).light(codes.astype(np.float32)).astype(np.float64))
        logs += np.interp(codes, np.linspace(0, 1, len(self.departure)), self.departure)
        # More light is a higher value.
        rising = np.diff(logs, prepend=logs[0]).clip(1e-4).cumsum()
        return codes, rising - rising[-1]


def estimated(
    pairs: Sequence[tuple[Points, Points]], said: Sequence[float | None], plain: Response
) -> tuple[Response, list[float]]:
    """Estimate the response, and the stops between the frames of each pair, from shared pixels.

    With h(c) the logarithm of light of a coded value, h(c_long) - h(c_short) is the same at all
    pixels of a pair (Debevec and Malik, SIGGRAPH 1997). h is `plain`'s and a departure from it in
    straight lines, as flat as the points leave it; sums of absolute deviations are minimised, so
    that what moves does not count. h and all stops may be stretched together without a difference:
    that stays as `plain` has it, unless stops are said.

    Parameters
    ----------
    pairs
        Coded values of the shorter and the longer exposure, (N,) each.
    said
        Stops of each pair, as Exif has them; None where it says nothing.
    """
    P = len(pairs)
    pair_of = np.repeat(np.arange(P), [len(short) for short, _ in pairs])
    short, long = (np.concatenate(codes) for codes in zip(*pairs, strict=True))
    matrix = np.hstack([(_hats(long) - _hats(short))[:, :-1], -np.eye(P)[pair_of]])
    target = _logs(plain, short) - _logs(plain, long)
    N = len(target)
    bends = np.zeros((KNOTS, KNOTS + P))
    bends[:, :KNOTS] = (np.eye(KNOTS + 1)[1:] - np.eye(KNOTS + 1)[:-1])[:, :-1] * KNOTS
    known = np.diag([*[0.0] * KNOTS, *(0.0 if one is None else 1.0 for one in said)])
    known_stops = np.array([*[0.0] * KNOTS, *(one or 0.0 for one in said)])
    weights, found = np.ones(N), np.zeros(KNOTS + P)
    for _ in range(_ROUNDS):
        # einsum adds in one order, whatever the number of threads, as a matrix product does not.
        normal = np.einsum("ni,n,nj->ij", matrix, weights / N, matrix, optimize=False)
        normal += STIFF**2 * np.einsum("ki,kj->ij", bends, bends) + known
        right = np.einsum("ni,n->i", matrix, weights / N * target) + known_stops
        found = np.linalg.solve(normal, right)
        weights = 1 / np.maximum(np.abs(np.einsum("ni,i->n", matrix, found) - target), _NEAR)
    found = found.round(6)
    departure = tuple(float(one) for one in (*found[:KNOTS], 0.0))
    return Response(plain.gamma, departure), [float(one) for one in found[KNOTS:]]


def distance(
    pair: tuple[Points, Points], response: Response, stops: float | None = None
) -> tuple[float, float]:
    """Return the stops between two frames, and the median distance of pixels from them."""
    off = _logs(response, pair[1]) - _logs(response, pair[0])
    stops = float(np.median(off)) if stops is None else stops
    return stops, float(np.median(np.abs(off - stops)))


def _logs(response: Response, code: Points) -> Points:
    logs: Points = np.log2(response.light(code.astype(np.float32)).astype(np.float64))
    return logs


def _hats(code: Points) -> Points:
    """Return how much each of the knots counts at coded values (N,): (N, KNOTS + 1)."""
    at = np.clip(code, 0, 1)[:, None] * KNOTS - np.arange(KNOTS + 1)
    hats: Points = np.maximum(1 - np.abs(at), 0)
    return hats
