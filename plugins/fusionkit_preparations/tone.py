"""A picture of a bracket's radiance: at its middle exposure, with highlights and shadows kept.

Regions of the scene, not pixels, are made darker or brighter: contrast inside of a region stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusionkit.imaging import luma_of

from .light import mean, smooth
from .response import Array, Response

HIGHLIGHTS = 99.5
"""Per cent of pixels that are to be no brighter than white."""

LOWERED, COMPRESSED = 0.5, 0.75
"""Of the stops between the middle of a bracket and its shortest exposure: if highlights need no
more than the first, the picture becomes darker, from the second on its regions do."""

STRONGER = 1.25
"""By which regions are compressed more than highlights need."""

GREY = 0.35
"""Mean coded value that a picture has at least, if regions are compressed."""

DIM, DARK = 0.25, 0.15
"""Mean coded values: what is darker than the second is made brighter, from the first on nothing."""

LEAST_KEPT = 0.2
"""Of regional contrast."""

REGION = 0.1
"""Side of the window that regions are told by, of the shorter side of the image."""

EDGE = 2.0
"""Variance of log2 of light from which on a border between regions is kept."""

DARKEST = 2.0**-9
"""Light, at the middle exposure, below which regions are alike."""

KNEE = 0.9
"""Coded values from which on what is brighter than white is pressed below it."""

_POINTS, _TINY = 40000, 1e-6


@dataclass(frozen=True)
class Tone:
    """How light becomes a picture: stops added, and the share of regional contrast that is kept."""

    stops: float
    kept: float

    def record(self) -> dict[str, Any]:
        """Return what a run's record says of it."""
        return {"stops": round(self.stops, 3), "kept": round(self.kept, 3)}


def toned(
    light: Array, response: Response, middle: float, shortest: float, longest: float
) -> tuple[Array, Tone]:
    """Return the light that a picture shows, (H, W, C), about 1 for white, and how.

    With Y the luminance, B its logarithm averaged over regions (guided filter, He and others, IEEE
    Trans. Pattern Anal. Mach. Intell. 35, 2013), and m the median of B, the picture is

        light 2^(a - (1 - s) (B - m)).

    If highlights at the middle exposure are no brighter than white, s is 1 and a that exposure.
    If they are by up to half of the stops between middle and shortest exposure, the bracket is of
    one light and its middle is too long: s is 1, and a so low that they fit. From three quarters
    on the scene has light and shade: s is what lets highlights fit at the middle exposure, or in a
    brighter picture where that is dark. Between, s and a are, too. No region becomes darker than
    in the shortest exposure, or brighter than in the longest.

    Parameters
    ----------
    light
        (H, W, C), linear.
    response
        How the picture will be coded.
    middle, shortest, longest
        Stops to be added for these exposures.
    """
    over = float(np.log2(max(_highlights(light), _TINY))) + middle
    stops, kept = middle - max(0.0, over), 1.0
    needed = _ramp(over / max(middle - shortest, _TINY), LOWERED, COMPRESSED)
    dim = _ramp(-_mean_code(light * np.float32(2.0**stops), response), -DIM, -DARK)
    share = max(needed, dim)
    if share == 0:
        return light * np.float32(2.0**stops), Tone(stops, kept)
    region = _regions(light * np.float32(2.0**middle))
    away = region - np.float32(np.median(region))
    pressed = _pressed(light, away, response, middle)
    stops += share * (pressed.stops - stops)
    kept += share * (pressed.kept - kept)
    added = np.clip(np.float32(stops) + np.float32(kept - 1) * away, shortest, longest)
    return light * np.exp2(added)[..., None], Tone(stops, kept)


def rolled_off(code: Array) -> Array:
    """Return coded values with what is above white pressed smoothly below it, hue kept."""
    brightest = code.max(-1, keepdims=True)
    most = float(np.percentile(brightest, 99.95))
    if most <= 1:
        return np.minimum(code, 1)
    # A hyperbola of slope 1 at the knee, which reaches white at the most.
    reach, room = most - KNEE, 1 - KNEE
    bend = (reach - room) / (reach * room)
    above = np.maximum(brightest - np.float32(KNEE), 0)
    pressed = np.float32(KNEE) + above / (1 + np.float32(bend) * above)
    scale = np.where(brightest > KNEE, pressed / np.maximum(brightest, np.float32(KNEE)), 1)
    return np.minimum(code * scale.astype(np.float32), 1)


def _pressed(light: Array, away: Array, response: Response, middle: float) -> Tone:
    """Return the stops, and the most of regional contrast, with which highlights fit."""
    by = max(1, int(np.sqrt(away.size / _POINTS)))
    light, away = light[::by, ::by], away[::by, ::by]

    def with_highlights(kept: float) -> tuple[float, float]:
        shown = light * np.exp2(np.float32(kept - 1) * away)[..., None]
        stops = -float(np.log2(max(_highlights(shown), _TINY)))
        return stops, _mean_code(shown * np.float32(2.0**stops), response)

    fits = _largest(lambda kept: with_highlights(kept)[0] >= middle)
    grey = _largest(lambda kept: with_highlights(kept)[1] >= GREY)
    if grey < fits:
        return Tone(with_highlights(grey)[0], grey)
    kept = max(LEAST_KEPT, 1 - STRONGER * (1 - fits))
    return Tone(min(middle, with_highlights(kept)[0]), kept)


def _largest(fits: Callable[[float], bool]) -> float:
    """Return the largest share that fits, by halving; LEAST_KEPT if none does."""
    low, high = LEAST_KEPT, 1.0
    for _ in range(10):
        kept = (low + high) / 2
        low, high = (kept, high) if fits(kept) else (low, kept)
    return low


def _ramp(value: float, first: float, last: float) -> float:
    return float(smooth(np.clip((value - first) / (last - first), 0, 1)))


def _mean_code(light: Array, response: Response) -> float:
    return float(response.code(np.minimum(light, 1)).mean(dtype=np.float64))


def _regions(light: Array) -> Array:
    luma = luma_of(light).astype(np.float32) if light.shape[-1] == 3 else light.mean(-1)
    logs: Array = np.log2(luma + np.float32(DARKEST))
    window = int(REGION * min(logs.shape)) // 2 * 2 + 1
    average = mean(logs, window)
    variance: Array = np.maximum(mean(np.square(logs), window) - np.square(average), 0)
    slope: Array = variance / (variance + np.float32(EDGE))
    offset: Array = average - slope * average
    return mean(slope, window) * logs + mean(offset, window)


def _highlights(light: Array) -> float:
    return float(np.percentile(light.max(-1), HIGHLIGHTS))
