"""Exposures of one scene: telling them, and how far each is from clipping."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Where a channel begins to count less, and where it counts as clipped: the ringing of a JPEG
# around white stays above. A clipped channel keeps a little say, for where all are clipped.
_BRIGHT, _CLIPPED, _LEAST_SAY = 0.9, 0.98, 1e-3
DARK = 0.02  # luma below which there is little but noise to tell colour from
_FEW = 100  # pixels to tell by
_ALIKE = 0.3  # how strongly exposures of one scene are correlated at least
_EXPOSURES = 0.9  # frames of one exposure differ by a few percent, a third of a stop by more


def are_exposures(luma: Iterable[NDArray[np.float32]]) -> bool:
    """Whether frames, K of (H, W), are of different exposure and otherwise of the same light."""
    means, some = [], []
    for frame in luma:
        means.append(float(frame.mean(dtype=np.float64)))
        height, width = frame.shape
        some.append(frame[:: 1 + height // 256, :: 1 + width // 256].astype(np.float64))
    if len(means) < 2 or min(means) >= _EXPOSURES * max(means):
        return False
    return all(_go_together(one, other) for one, other in itertools.combinations(some, 2))


def _go_together(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether frames are bright in the same places; they are if there is nothing to tell by."""
    seen = (np.minimum(one, other) > DARK) & (np.maximum(one, other) < _CLIPPED)
    if np.count_nonzero(seen) < _FEW:
        return True
    deviations = [frame[seen] - frame[seen].mean() for frame in (one, other)]
    spread = float(np.prod([deviation.std() for deviation in deviations]))
    return bool(np.mean(deviations[0] * deviations[1]) >= _ALIKE * spread)


def headroom(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """How far sources are from clipping, relative to the one that is farthest.

    A channel counts fully up to 0.9, and linearly less from there to a thousandth at 0.98. A
    pixel is the product of its channels: two that are clipped are worse than one.

    Parameters
    ----------
    rgb : array, (K, H, W, 3)
        In [0, 1].

    Returns
    -------
    array of float64, (K, H, W)
        In (0, 1], 1 for the source that is clipped least.
    """
    room = np.clip((_CLIPPED - rgb.astype(np.float64)) / (_CLIPPED - _BRIGHT), _LEAST_SAY, 1.0)
    # One by one: numpy reduces an axis of three many times as slowly.
    product = room[..., 0] * room[..., 1] * room[..., 2]
    relative: NDArray[np.float64] = product / product.max(axis=0)
    return relative
