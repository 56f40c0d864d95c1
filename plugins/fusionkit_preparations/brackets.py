"""Exposures of a bracket: their order and stops, from the Exif of files and from shared pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fusionkit.imaging import Picture

from .response import Array, Points, Response, distance, estimated

DARK, BRIGHT = 0.04, 0.97
"""Coded values outside of these tell nothing of a ratio."""

ENOUGH = 256
"""Pixels that two frames must share to be compared."""

MOST_SPREAD = 0.5
"""Median distance of pixels from the ratio, in stops: beyond, frames show no one scene."""

CLOSER = 1.25
"""By which pixels must lie closer to a curve of their own than to sRGB's."""

MOST_OFF = 1 / 3
"""Stops by which what a camera says may differ from what frames show."""

_POINTS = 20000
_TIME, _APERTURE, _SENSITIVITY = 33434, 33437, 34855


@dataclass(frozen=True)
class Bracket:
    """How the frames of a bracket are exposed.

    Attributes
    ----------
    stops
        Of each frame against the reference; None for those that could not be compared.
    reference
        The frame in the middle.
    response
        The camera's.
    notes
        Why a frame could not be compared.
    by_exif
        Whether files say how they were exposed.
    """

    stops: tuple[float | None, ...]
    reference: int
    response: Response
    notes: dict[int, str]
    by_exif: bool

    @property
    def used(self) -> dict[int, float]:
        """The frames that could be compared and their stops, the shortest exposure first."""
        told = {k: stops for k, stops in enumerate(self.stops) if stops is not None}
        return dict(sorted(told.items(), key=lambda one: (one[1], one[0])))


def exposure_value(picture: Picture) -> float | None:
    """Return log2 of the light that a frame took, from its Exif; None if its time is not said.

    Time by sensitivity by the aperture's area; of the last two what is said.
    """
    tags = picture.metadata.exif
    try:
        time = tags[_TIME].fraction()
        sensitivity = tags[_SENSITIVITY].integer() if _SENSITIVITY in tags else 100
        aperture = tags[_APERTURE].fraction() if _APERTURE in tags else 1.0
    except (KeyError, ValueError):
        return None
    if time <= 0 or sensitivity <= 0:
        return None
    return float(np.log2(time * sensitivity / (aperture if aperture > 0 else 1.0) ** 2))


def bracket_of(
    read: Callable[[int], Array],
    pictures: Sequence[Picture],
    response: Response,
    shown: NDArray[np.bool_] | None = None,
    adapts: bool = True,
) -> Bracket:
    """Compare the frames of a bracket, each with that of the next longer exposure.

    The stops between two are the median over pixels that are clipped or dark in neither. What Exif
    says counts where that cannot be told, or where it is off by more than a third of a stop.

    Parameters
    ----------
    read
        Returns frame k, (H, W, C) coded values in [0, 1].
    pictures
        The K frames' files.
    response
        The camera's, as far as is known.
    shown
        (K, H, W), where frames show the scene.
    adapts
        Whether the response may be estimated (:func:`.response.estimated`): it is where pixels lie
        clearly closer to a curve of their own.
    """
    K = len(pictures)
    some = [_some(read(k), None if shown is None else shown[k]) for k in range(K)]
    values = [exposure_value(picture) for picture in pictures]
    by_exif = None not in values and len(set(values)) > 1
    means = [float(np.nanmean(frame)) if np.isfinite(frame).any() else 0.0 for frame in some]
    told = [k for k in range(K) if by_exif or np.count_nonzero(_good(some[k])) >= ENOUGH]
    notes = {k: "hardly any of it is well exposed" for k in range(K) if k not in told}
    order = sorted(told, key=lambda k: ((values[k] or 0.0) if by_exif else 0.0, means[k], k))
    pairs = [_shared(some[short], some[long]) for short, long in pairwise(order)]
    said = [
        (values[long] or 0.0) - (values[short] or 0.0) if by_exif else None
        for short, long in pairwise(order)
    ]
    if adapts:
        response = _adapted(pairs, said, response)
    steps = [_step(pair, one, response) for pair, one in zip(pairs, said, strict=True)]
    return _chained(K, order, steps, response, notes, by_exif)


def _adapted(
    pairs: Sequence[tuple[Points, Points]], said: Sequence[float | None], plain: Response
) -> Response:
    many = [place for place, pair in enumerate(pairs) if len(pair[0]) >= ENOUGH]
    if not many:
        return plain
    curve, stops = estimated([pairs[p] for p in many], [said[p] for p in many], plain)
    before = max(distance(pairs[p], plain)[1] for p in many)
    after = max(distance(pairs[p], curve, s)[1] for p, s in zip(many, stops, strict=True))
    return curve if CLOSER * after < before else plain


def _chained(
    K: int,
    order: list[int],
    steps: list[float | None],
    response: Response,
    notes: dict[int, str],
    by_exif: bool,
) -> Bracket:
    """Go from the frame in the middle to longer and shorter ones, as far as steps are known."""
    stops: list[float | None] = [None] * K
    middle = (len(order) - 1) // 2
    if order:
        stops[order[middle]] = 0.0
    for way, end in ((1, len(order)), (-1, -1)):
        at = 0.0
        for place in range(middle + way, end, way):
            step = steps[min(place, place - way)]
            if step is None:
                why = "it shares too little with the frame of the next exposure"
                beyond = order[place:] if way > 0 else order[: place + 1]
                notes |= dict.fromkeys(beyond, why)
                break
            at += way * step
            stops[order[place]] = at
    return Bracket(tuple(stops), order[middle] if order else 0, response, notes, by_exif)


def _step(pair: tuple[Points, Points], said: float | None, response: Response) -> float | None:
    """Return the stops from the shorter exposure to the longer one; None if nobody knows."""
    if len(pair[0]) < ENOUGH:
        return said
    stops, spread = distance(pair, response)
    if spread > MOST_SPREAD or (said is not None and abs(stops - said) > MOST_OFF):
        return said
    return stops


def _good(frame: Array) -> NDArray[np.bool_]:
    return (frame > DARK) & (frame < BRIGHT)


def _shared(short: Array, long: Array) -> tuple[Points, Points]:
    """Return values that are clipped or dark in neither frame."""
    good = _good(short) & _good(long)
    return short[good].astype(np.float64), long[good].astype(np.float64)


def _some(frame: Array, shown: NDArray[np.bool_] | None) -> Array:
    """Return a regular part of the pixels of a frame (H, W, C), NaN where it shows nothing."""
    height, width = frame.shape[:2]
    by = max(1, int(np.ceil(np.sqrt(height * width / _POINTS))))
    part: Array = frame[::by, ::by].copy()
    if shown is not None:
        part[~shown[::by, ::by]] = np.nan
    return part
