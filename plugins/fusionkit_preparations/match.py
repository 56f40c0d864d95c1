"""Exposure and white balance of a focus stack made alike: no patches show where frames meet.

Defocus keeps the mean of a part of the image that is large beside the blur, up to its border. So
the means m of parts of two frames of one scene follow one curve, channel by channel, whatever is
in focus in which:

    m_r = a m_k^p,      r the reference

a is the gain of exposure and white balance, p what differing tone curves make of it (exposure alone
does, where values are coded by sRGB's curve). It is a line in logarithms, fitted by least absolute
deviations, so that parts in which focus moves something in or out do not bend it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fusionkit import BasePreparation, Prepared, PriorAtHand, Sources
from fusionkit.imaging import filled, luma_of

from .curves import Curve, fitted

LEAST = 0.015
"""How much brighter or darker, of a mid-tone, a frame must be to be changed."""

LEAST_ERRORS = 4.0
"""Standard errors of a curve at mid-tones: frames that differ by less are left as they are."""

MOST = 1.6
"""What differs by a larger factor at mid-tones is another exposure, on purpose."""

MOST_SPREAD, MOST_BENT = 0.15, 1.6
"""Of parts about the curve, in logarithms; and of its power, or of one by it: beyond, frames are
not two of one scene and kind, as infrared and visible light are not."""

_CLIPPED, _DARK = 0.96, 0.03
_PARTS = 40  # of the longer side
_ENOUGH = 64  # parts that tell
_SLACK = 1e-3  # of the image: so many more clipped pixels make a frame no worse a reference


@dataclass(frozen=True)
class Matched:
    """How a frame compares with the reference: a curve for each channel, or why there is none."""

    curves: tuple[Curve, ...]
    reason: str = ""

    @property
    def is_needed(self) -> bool:
        """Whether frames differ by more than the margins."""
        offs = [(abs(np.log(curve(0.5) / 0.5)), curve.error) for curve in self.curves]
        return not self.reason and any(
            off > max(np.log1p(LEAST), LEAST_ERRORS * error) for off, error in offs
        )

    def record(self) -> dict[str, Any]:
        """Return what a run's record says of it."""
        return {
            "matched": self.is_needed,
            "gain": [round(curve.gain, 4) for curve in self.curves],
            "power": [round(curve.power, 4) for curve in self.curves],
            "error": [round(curve.error, 5) for curve in self.curves],
            **({"unknown": self.reason} if self.reason else {}),
        }


class Match(BasePreparation):
    """Makes frames as bright, and of the same white balance, as the reference.

    The reference is the frame in the middle, or, where it is clipped more than others, the one
    of those nearest to the middle that are clipped least.

    Parameters
    ----------
    mode
        ``auto``, or ``none`` for no change.
    """

    stage: Literal["geometry", "radiometry", "restoration"] = "radiometry"
    uses_seed = False

    def __init__(self, mode: str) -> None:
        self._mode = mode

    def prepare(self, sources: Sources, prior: PriorAtHand) -> Prepared:
        """Return the scene with its frames alike; what needs no change is kept to the last bit."""
        if self._mode == "none":
            return Prepared(sources)
        names = sources.names
        frames = [_channels(sources, k) for k in range(len(names))]
        first = reference_of(frames, sources.shown)
        matched = {
            k: _matched(frame, frames[first], _both(sources.shown, k, first))
            for k, frame in enumerate(frames)
            if k != first
        }
        notes = [
            f"{names[k]}: {each.reason}, so its brightness is left as it is"
            for k, each in matched.items()
            if each.reason
        ]
        needed = {k: each.curves for k, each in matched.items() if each.is_needed}
        if not notes and not needed:
            notes = [
                "--match auto: the sources are equally bright already, and are left as they are"
            ]
        record = {
            "reference": first + 1,
            "sources": {str(k + 1): each.record() for k, each in matched.items()},
        }
        return Prepared(_changed(sources, needed) if needed else sources, record, notes)


def reference_of(frames: Sequence[NDArray[np.float32]], shown: NDArray[np.bool_] | None) -> int:
    """Return which of (C, H, W) frames others are made like."""
    clipped = [
        float(np.mean((frame >= _CLIPPED).any(0) & (True if shown is None else shown[k])))
        for k, frame in enumerate(frames)
    ]
    good = [k for k, share in enumerate(clipped) if share <= min(clipped) + _SLACK]
    middle = (len(frames) - 1) / 2
    return min(good, key=lambda k: (abs(k - middle), k))


def _channels(sources: Sources, k: int) -> NDArray[np.float32]:
    """Return what of a source is compared, (C, H, W): colour, if there is any."""
    channels: NDArray[np.float32] = sources.planes[k]
    return np.moveaxis(sources.colour[k], -1, 0) if k in sources.colour else channels


def _both(shown: NDArray[np.bool_] | None, k: int, first: int) -> NDArray[np.bool_] | None:
    return None if shown is None else shown[k] & shown[first]


def _matched(
    frame: NDArray[np.float32], reference: NDArray[np.float32], shown: NDArray[np.bool_] | None
) -> Matched:
    """Compare a frame (C, H, W) with the reference, by luma where one of them is grey."""
    if len(frame) != len(reference):
        frame, reference = _grey(frame), _grey(reference)
    side = max(2, -(-max(frame.shape[1:]) // _PARTS))
    told = np.ones(frame.shape[1:], np.bool_) if shown is None else shown
    curves = []
    for one, other in zip(frame, reference, strict=True):
        inside = told & (np.maximum(one, other) < _CLIPPED)
        whole = _parts(inside.astype(np.float32), side) == 1
        means = _parts(one, side), _parts(other, side)
        good = whole & (np.minimum(*means) > _DARK)
        if np.count_nonzero(good) < _ENOUGH:
            return Matched((), "too little of it is neither dark nor clipped to compare it by")
        curve, spread = fitted(means[0][good], means[1][good])
        if spread > MOST_SPREAD or not 1 / MOST_BENT <= curve.power <= MOST_BENT:
            return Matched((), "it differs from the reference by more than a curve of brightness")
        curves.append(curve)
    if any(not 1 / MOST <= curve(0.5) / 0.5 <= MOST for curve in curves):
        return Matched((), "it is another exposure than the reference")
    return Matched(tuple(curves))


def _changed(sources: Sources, needed: Mapping[int, tuple[Curve, ...]]) -> Sources:
    """Return the scene with curves applied to some sources."""
    planes, colour = sources.planes.copy(), dict(sources.colour)
    for k, curves in needed.items():
        if k in colour:
            each = curves * 3 if len(curves) == 1 else curves
            channels = [curve(colour[k][..., c]) for c, curve in enumerate(each)]
            colour[k] = np.stack(channels, -1).astype(np.float32)
            planes[k, 0] = luma_of(colour[k])
        else:
            each = curves * len(planes[k]) if len(curves) == 1 else curves
            planes[k] = [curve(plane) for curve, plane in zip(each, planes[k], strict=True)]
    if sources.shown is not None:
        for channel in range(planes.shape[1]):
            planes[:, channel] = filled(planes[:, channel], sources.shown)
    return replace(sources, planes=planes, colour=colour)


def _grey(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the luma of three channels, the mean of others, (1, H, W)."""
    grey = luma_of(np.moveaxis(frame, 0, -1)) if len(frame) == 3 else frame.mean(0)
    return grey[np.newaxis].astype(np.float32)


def _parts(plane: NDArray[np.float32], side: int) -> NDArray[np.float64]:
    """Average (H, W) over squares; what is left over at the right and below is not used."""
    H, W = plane.shape
    whole = plane[: H // side * side, : W // side * side].astype(np.float64)
    means: NDArray[np.float64] = whole.reshape(H // side, side, W // side, side).mean((1, 3))
    return means
