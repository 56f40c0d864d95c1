"""Average precision at an overlap of one half, and recall, over all images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .boxes import Array, Boxes, overlaps

_OVERLAP = 0.5
_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Found:
    """How well things were found.

    Attributes
    ----------
    by_class
        Average precision at 0.5 of each class that the truth has.
    recall, precision
        The share of things that were found by the detections of the asked score or more, and the
        share of these that are right; precision is NaN where there is none.
    things
        How many there are.
    """

    by_class: dict[int, float]
    recall: float
    precision: float
    things: int

    @property
    def mean(self) -> float:
        """mAP50: the mean over classes."""
        return float(np.mean(list(self.by_class.values())))


def found(images: Sequence[tuple[Boxes, Boxes]], confidence: float) -> Found:
    """Compare detections with the truth, image by image, of which some has boxes.

    A detection, the surest first, finds the thing of its class in its image that it overlaps
    most of those that no surer one has found, by an intersection over union of 0.5 or more: so
    each is found once. Average precision is the mean, over recalls 0, 0.01 ... 1, of the greatest
    precision at this recall or above, as COCO has it; the detections of all images are ranked
    together.
    """
    classes = np.unique(np.concatenate([truth.classes for _, truth in images]))
    by_class: dict[int, float] = {}
    counted = right = things = 0
    for kind in classes:
        pairs = [
            (seen.where(seen.classes == kind), truth.where(truth.classes == kind))
            for seen, truth in images
        ]
        hits = np.concatenate([_hits(seen, truth) for seen, truth in pairs])
        scores = np.concatenate([seen.scores for seen, _ in pairs])
        there = sum(len(truth.scores) for _, truth in pairs)
        by_class[int(kind)] = _average(hits[np.argsort(-scores, kind="stable")], there)
        sure = scores >= confidence
        counted, right = counted + int(sure.sum()), right + int(hits[sure].sum())
        things += there
    # What is of a class that the truth has nowhere is wrong, too.
    counted += sum(
        int(((seen.scores >= confidence) & ~np.isin(seen.classes, classes)).sum())
        for seen, _ in images
    )
    return Found(by_class, right / things, right / counted if counted else np.nan, things)


def _hits(seen: Boxes, truth: Boxes) -> NDArray[np.bool_]:
    """Whether each detection, the surest first, finds a thing; all are of one class."""
    shares = overlaps(seen.corners, truth.corners)
    hits = np.zeros(len(shares), np.bool_)
    for place, row in enumerate(shares):
        if row.size and row.max() >= _OVERLAP:
            hits[place] = True
            shares[:, row.argmax()] = -1
    return hits


def _average(hits: NDArray[np.bool_], there: int) -> float:
    """Average precision of detections, the surest first, where so many things are."""
    right = np.cumsum(hits)
    precision: Array = right / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    # Compared as whole numbers: 0.29 * 100 is not 29.
    needed = np.ceil(np.round(_RECALLS * 100) * there / 100 - 1e-9)
    places = np.searchsorted(right, needed)
    reached = places < len(hits)
    return float(best[places[reached]].sum() / len(_RECALLS))
