"""How every source lies on the first one: directly or along the stack, believed or not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit import UsageError

from .edges import Array, Level, levels_of
from .matching import Fit, refined, score_of
from .motion import Matrix, described, distance, still
from .search import Found, found

LEAST_SIDE = 32
"""Of an image, in pixels: what a smaller one shows says too little."""

LEAST_MOVE = 0.5
"""Pixels, root mean square: what moves by less is left as it is by ``auto``."""

LEAST_ERRORS = 3.0
"""Standard errors: what moves by less of them is left as it is by ``auto``."""

LEAST_GAIN = 1.02
"""How much better edges agree after a motion that ``auto`` makes."""


_TOO_SMALL = f"with less than {LEAST_SIDE} pixels a side it does not say how it lies"


@dataclass(frozen=True, eq=False)
class Lies:
    """How a source lies on the reference.

    Attributes
    ----------
    matrix
        The motion, from a point of the reference to that of the source; see :mod:`.motion`.
    model
        Its model; ``none`` for a source that is left as it is.
    error
        Its standard error, in pixels; infinite if nothing is known of it.
    scores
        The correlation of edges before and after.
    reason
        Why it is not known; empty if it is.
    chained
        Whether it was found by the source before.
    """

    matrix: Matrix
    model: str
    error: float
    scores: tuple[float, float]
    reason: str = ""
    chained: bool = False

    @property
    def is_moved(self) -> bool:
        """Whether there is anything to do."""
        return self.model != "none"

    def record(self, size: tuple[int, int]) -> dict[str, Any]:
        """Return what a run's record says of it, for an image (H, W)."""
        return {
            "model": self.model,
            "matrix": self.matrix.tolist(),
            "moves": round(distance(self.matrix, still(), size), 3),
            "error": round(self.error, 3) if math.isfinite(self.error) else None,
            "agreement": [round(score, 4) for score in self.scores],
            **({"unknown": self.reason} if self.reason else {}),
        }

    def __str__(self) -> str:
        if self.reason:
            return f"{self.reason}, and is left as it is"
        if not self.is_moved:
            return "left as it is"
        return f"{described(self.matrix)} (± {self.error:.2g})"


def lying(
    images: Sequence[Array],
    names: Sequence[str],
    model: str,
    shown: NDArray[np.bool_] | None = None,
) -> list[Lies]:
    """Return how images lie on the first one.

    Parameters
    ----------
    images
        K of (H, W), values from 0 to 1.
    names
        What messages call them.
    model
        ``auto``, or a key of :data:`.motion.PARAMETERS`, which every source is moved by.
    shown
        (K, H, W), where each shows the scene; None where all do everywhere.

    Raises
    ------
    UsageError
        A model is asked for, and the motion of a source cannot be told.
    """
    masks = [None] * len(images) if shown is None else list(shown)
    too_small = min(images[0].shape) < LEAST_SIDE
    levels = [] if too_small else [levels_of(*each) for each in zip(images, masks, strict=True)]
    lie = [Lies(still(), "none", 0.0, (1.0, 1.0))]
    for k in range(1, len(images)):
        if too_small:
            each = Lies(still(), "none", math.inf, (0.0, 0.0), _TOO_SMALL)
        else:
            each = _of_one(levels, k, lie[-1], "similarity" if model == "auto" else model)
            if model == "auto":
                each = _if_worth_it(levels[0], levels[k], each)
        if each.reason and model != "auto":
            raise UsageError(
                f"{names[k]}: {each.reason} on {names[0]}: align by auto, which leaves it as it is"
            )
        lie.append(each)
    return lie


def _of_one(levels: Sequence[tuple[Level, ...]], k: int, before: Lies, model: str) -> Lies:
    """Return how image k lies on the first, directly or by the one before: what is surer."""
    direct = found(levels[0], levels[k], model)
    fit, chained = direct.fit, False
    known = direct.reliable
    if k > 1 and not before.reason:
        step = found(levels[k - 1], levels[k], model)
        error = math.hypot(step.fit.error, before.error)
        if step.reliable and (not known or error < fit.error):
            fit, chained, known = Fit(step.fit.matrix @ before.matrix, 0.0, error), True, True
    after = score_of(levels[0][-1], levels[k][-1], fit.matrix)
    reason = "" if known else _reason(direct)
    return Lies(fit.matrix, model, fit.error, (direct.before, after), reason, chained)


def _reason(direct: Found) -> str:
    if not math.isfinite(direct.fit.error):
        return "it has no texture that says how it lies"
    return "its edges do not say how it lies"


def _if_worth_it(reference: tuple[Level, ...], source: tuple[Level, ...], each: Lies) -> Lies:
    """Leave a source as it is unless it clearly lies elsewhere; by a shift alone if that does."""
    size = reference[0].size
    least = max(LEAST_MOVE, LEAST_ERRORS * each.error)
    before, after = each.scores
    moves = distance(each.matrix, still(), size)
    if each.reason or moves < least or after < LEAST_GAIN * before:
        return Lies(still(), "none", each.error, (before, before), each.reason)
    if each.chained:
        return each
    shift = np.eye(3)
    shift[:2, 2] = each.matrix[:2, 2]
    if distance(each.matrix, shift, size) >= least:
        return each
    fit = refined(reference[-1], source[-1], shift, "translation")
    return Lies(fit.matrix, "translation", fit.error, (before, fit.score))
