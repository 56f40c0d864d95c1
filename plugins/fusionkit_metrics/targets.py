"""Target contrast: whether what stands out in one source stands out in the fused image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label, maximum_filter, median_filter
from torch import Tensor

from .measure import Measure

Polarity = Literal["hot", "cold", "both"]
Images = NDArray[np.float64]
Mask = NDArray[np.bool_]
Place = tuple[slice, slice]

_LEAST_CONTRAST = 20.0  # grey levels: less is no target, and a ratio to it is one of noise
_DEVIATIONS = 5.0
_WINDOW = 4  # the ground that a target stands out from is a window of a quarter of the shorter side
_SAMPLES = 17  # along each side of that window
_SMALLEST, _LARGEST = 16, 0.05  # pixels; share of the image
_GAP = 2  # pixels around a target that are neither target nor surround: its blurred outline


class TargetContrast(Measure):
    """Mean over targets of contrast in the fused image by that in the source that has most.

    A target T is a connected part (8 neighbours) of one source that stands out: by five robust
    standard deviations (1.4826 times the median of absolute values), and by 10 grey levels or
    more, from the median of a window a quarter of the shorter side wide. It has 16 pixels or
    more and a twentieth of the image at most. Its surround R is what lies more than 2 pixels from
    it and at most 2 + w, w half the root of its area, 3 or more, without other targets and 2
    pixels around them. With c(I) = mean of I on T - mean of I on R, negated if T is cold, a target
    counts if c of its source is 20 grey levels or more, and it is kept to

        min(1, max(0, c(fused) / max_k c(source k))).

    1 is kept: more contrast than any source has is no gain. 0 is lost or reversed. All targets
    count alike. An image without a target is not measured: NaN.

    Parameters
    ----------
    source
        Which source has the targets, counted from 1.
    polarity
        Whether targets are brighter than their surround, darker, or either.
    boxes
        Targets given by hand, x, y, width, height of each in pixels, instead of those found.
    """

    name = "target-contrast"
    bounds = (0.0, 1.0)
    reference = "fusionkit's own: docs/metrics.md"
    partial = True

    def __init__(
        self, source: int = 1, polarity: Polarity = "hot", boxes: Sequence[int] = ()
    ) -> None:
        self._source = source
        self._signs = {"hot": (1,), "cold": (-1,), "both": (1, -1)}[polarity]
        self._boxes = [tuple(boxes[n : n + 4]) for n in range(0, len(boxes), 4)]
        several = "1 box" if len(self._boxes) == 1 else f"{len(self._boxes)} boxes"
        where = several if boxes else f"{polarity} outliers"
        self.convention = (
            f"{where} of source {source} of 20 grey levels or more, mean less mean of the "
            "surround, by the greatest of the sources, clipped to 0-1, mean over targets"
        )
        self.least_sources = source

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,); NaN for an image without a target."""
        images = torch.cat([fused[None], sources]).movedim(0, 1).cpu().numpy()
        return fused.new_tensor([self._kept(each) for each in images])

    def _kept(self, images: Images) -> float:
        """Return the mean over targets of one scene, (1 + K, H, W), the fused image first."""
        found = [
            (sign, place, part)
            for sign in self._signs
            for place, part in self._targets(sign * images[self._source])
        ]
        taken = np.zeros(images.shape[1:], np.bool_)
        for _, place, part in found:
            around, grown = _grown(place, part, _GAP, taken.shape)
            taken[around] |= grown
        kept = []
        for sign, place, part in found:
            width = max(3, round(float(part.sum()) ** 0.5 / 2))
            around, ring = _grown(place, part, _GAP + width, taken.shape)
            ring &= ~taken[around]
            if not ring.any():
                continue
            inside, outside = images[:, *place][:, part], images[:, *around][:, ring]
            contrasts = sign * (inside.mean(1) - outside.mean(1))
            if contrasts[self._source] >= _LEAST_CONTRAST:
                kept.append(min(1.0, max(0.0, contrasts[0] / contrasts[1:].max())))
        return float(np.mean(kept)) if kept else math.nan

    def _targets(self, own: Images) -> Iterator[tuple[Place, Mask]]:
        """Yield where the targets are, in a source (H, W) in which they are bright."""
        if self._boxes:
            yield from self._in_boxes(*own.shape)
            return
        above = own - _ground(own)
        deviation = 1.4826 * float(np.median(np.abs(above)))
        stands_out = above > max(_DEVIATIONS * deviation, _LEAST_CONTRAST / 2)
        labels, _ = label(stands_out, np.ones((3, 3)))
        for number, place in enumerate(find_objects(labels), 1):
            part = labels[place] == number
            if _SMALLEST <= np.count_nonzero(part) <= _LARGEST * own.size:
                yield place, part

    def _in_boxes(self, height: int, width: int) -> Iterator[tuple[Place, Mask]]:
        for x, y, across, down in self._boxes:
            if x + across > width or y + down > height:
                raise ValueError(
                    f"{self.name}: the box {x},{y},{across},{down} lies outside of an image of "
                    f"{width} x {height} pixels"
                )
            yield (slice(y, y + down), slice(x, x + across)), np.ones((down, across), np.bool_)


def _ground(own: Images) -> Images:
    """Return the median (H, W) over a large window, from every nth row and column, 17 a window."""
    step = max(1, min(own.shape) // _WINDOW // _SAMPLES)
    medians = median_filter(own[step // 2 :: step, step // 2 :: step], _SAMPLES, mode="mirror")
    rows, columns = (
        np.minimum(np.arange(length) // step, count - 1)
        for length, count in zip(own.shape, medians.shape, strict=True)
    )
    ground: Images = medians[np.ix_(rows, columns)]
    return ground


def _grown(place: Place, part: Mask, by: int, size: tuple[int, ...]) -> tuple[Place, Mask]:
    """Return what is at most so many rows and columns away from a part, inside of the image."""
    rows, columns = (
        slice(max(0, one.start - by), min(length, one.stop + by))
        for one, length in zip(place, size, strict=True)
    )
    whole = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.bool_)
    top, left = place[0].start - rows.start, place[1].start - columns.start
    whole[top : top + part.shape[0], left : left + part.shape[1]] = part
    return (rows, columns), maximum_filter(whole, 2 * by + 1, mode="constant")
