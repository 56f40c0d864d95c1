"""Chroma as the offset d = RGB - Y, whose own luma is zero: Yf + g d has luma Yf for every g.

A colour that would leave [0, 1] is desaturated (g < 1), never clipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.imaging.luma import WHOLE, Place, luma_of


@dataclass(frozen=True, eq=False)
class Offsets(Mapping[int, NDArray[np.float32]]):
    """RGB - Y of sources, (H, W, 3) float32 each, made when asked for: all would fill the memory.

    Attributes
    ----------
    colours
        What returns some rows and columns of a source in colour, (h, w, 3) in [0, 1].
    shown
        As of :class:`ColourPlan`, of that place.
    place
        Which are meant.
    """

    colours: Mapping[int, Callable[[Place], NDArray[np.float32]]]
    shown: NDArray[np.bool_] | None = None
    place: Place = WHOLE

    def __getitem__(self, source: int) -> NDArray[np.float32]:
        offset = chroma_offset(self.colours[source](self.place))
        if self.shown is not None:
            offset[~self.shown[source]] = 0
        return offset

    def __iter__(self) -> Iterator[int]:
        return iter(self.colours)

    def __len__(self) -> int:
        return len(self.colours)

    def part(self, place: Place) -> Offsets:
        """Return those of some rows and columns of the whole image."""
        shown = None if self.shown is None else self.shown[:, *place]
        return Offsets(self.colours, shown, place)


def chroma_offset(rgb: NDArray[Any]) -> NDArray[np.float32]:
    """RGB - Y of (H, W, 3), on the scale of the input.

    It lies in memory channel by channel, as does all that is made of it: numpy takes several
    times as long where the innermost axis has three places.
    """
    channels = np.moveaxis(rgb, -1, 0)
    luma = luma_of(rgb)
    planes = np.empty(channels.shape, np.float32)
    for plane, channel in zip(planes, channels, strict=True):
        np.subtract(channel, luma, out=plane, casting="same_kind")
    return np.moveaxis(planes, 0, -1)


def chroma_distance(offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance from neutral in the CbCr plane of BT.601; (H, W, 3) offsets to (H, W)."""
    distance: NDArray[np.float64] = np.hypot(offset[..., 2] / 1.772, offset[..., 0] / 1.402)
    return distance


def into_gamut(luma: NDArray[np.float64], offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add as much of the chroma as the gamut holds at this luma.

    Parameters
    ----------
    luma : array of float64, (H, W)
        In [0, 1].
    offset : array of float64, (H, W, 3)
        RGB - Y, of luma zero.

    Returns
    -------
    array of float64, (H, W, 3)
        luma + g offset in [0, 1], with the largest g in [0, 1] at each pixel.
    """
    planes = np.moveaxis(offset, -1, 0)
    gain = np.ones_like(luma)
    with np.errstate(invalid="ignore"):
        for channel in planes:
            room = np.abs(np.subtract(channel > 0, luma))  # to 1 for what is added, or to 0
            size = np.abs(channel)
            np.maximum(size, room, out=size)
            # No offset where there is no room is 0 / 0, which fmin leaves out.
            np.fmin(gain, np.divide(room, size, out=room), out=gain)
    result = np.empty(planes.shape)
    for added, channel in zip(result, planes, strict=True):
        np.multiply(gain, channel, out=added)
        added += luma
    # Rounding only: the gain keeps every channel inside up to the last bit.
    np.clip(result, 0.0, 1.0, out=result)
    return np.moveaxis(result, 0, -1)
