"""All channels of the sources, where colour is fused itself and not attached afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .masks import filled, left_to_one
from .picture import Picture
from .values import bands


def planes_of(
    pictures: Sequence[Picture], shown: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Return the channels of sources as one array; grey ones have their luma in each.

    Parameters
    ----------
    pictures
        The K sources, of one size.
    shown
        (K, H, W), where each shows the scene; elsewhere it is filled (:func:`.masks.filled`).

    Returns
    -------
    array of float32, (K, C, H, W)
        In [0, 1], C the most that any source has.
    """
    size = pictures[0].shape
    count = max(picture.channels for picture in pictures)
    planes = np.empty((len(pictures), count, *size), np.float32)
    for source, picture in enumerate(pictures):
        for rows in bands(*size):
            unit = picture.unit(rows)
            planes[source, :, rows] = unit if unit.ndim == 2 else np.moveaxis(unit, -1, 0)
    if shown is not None:
        for channel in range(count):
            planes[:, channel] = filled(planes[:, channel], shown)
    return planes


def planes_left_to_one(
    fused: NDArray[np.float32], planes: NDArray[np.float32], shown: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return fused channels (C, H, W) as the source has them where one alone shows anything."""
    made = [left_to_one(image, planes[:, c], shown) for c, image in enumerate(fused)]
    stacked: NDArray[Any] = np.stack(made)
    return stacked
