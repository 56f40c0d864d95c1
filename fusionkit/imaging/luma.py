"""Luma of the sources of a scene: kept where that is little, else made again when asked for.

Luma is BT.601 full range, Y = 0.299 R + 0.587 G + 0.114 B (Rec. ITU-R BT.601-7, 2.5.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.imaging.picture import Picture
from fusionkit.imaging.values import bands, to_unit

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in luma."""

KEPT = 2**26
"""How many pixels of all sources are kept: 256 MB."""

Place = tuple[slice, slice]
"""Rows and columns of an image."""

WHOLE: Place = (slice(None), slice(None))
"""All of them."""


def luma_of(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """BT.601 luma of (H, W, 3) RGB; (H, W), on the scale of the input."""
    luma: NDArray[np.float64]
    luma, green, blue = (
        np.multiply(rgb[..., channel], share, dtype=np.float64)
        for channel, share in enumerate(LUMA)
    )
    luma += green
    luma += blue
    return luma


class Lumas:
    """Luma of K pictures of one size, float32 in [0, 1].

    Indexed by a source it is (H, W), by rows and columns of all sources, as in
    ``lumas[:, rows, columns]``, (K, h, w); ``numpy.asarray`` makes it one array (K, H, W).

    Attributes
    ----------
    shape
        K, H, W.
    least
        (K,), the least value of each.
    """

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self.shape = (len(pictures), *pictures[0].shape)
        self._read = [reader_of(picture) for picture in pictures]
        self._least: dict[int, np.float32] = {}  # of those that were made whole
        self._whole: NDArray[np.float32] | None = None
        if np.prod(self.shape, dtype=np.int64) <= KEPT:
            self._whole = np.empty(self.shape, np.float32)
            for source, luma in enumerate(self._whole):
                self._make(source, luma)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self[source] for source in range(len(self)))

    def __getitem__(self, key: int | tuple[slice, ...]) -> NDArray[np.float32]:
        if self._whole is not None:
            part: NDArray[np.float32] = self._whole[key]
            return part
        if not isinstance(key, tuple):
            return self._make(key, np.empty(self.shape[1:], np.float32))
        sources, *place = key
        rows, columns = (*place, slice(None), slice(None))[:2]
        return np.stack([read((rows, columns)) for read in self._read[sources]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        whole = self[:, :] if self._whole is None else self._whole
        return np.array(whole, dtype, copy=copy)

    def part(self, place: Place) -> Lumas:
        """Return luma of some rows and columns; nothing is made of it before it is asked for."""
        rows, columns = (
            range(side)[part] for side, part in zip(self.shape[1:], place, strict=True)
        )

        def within(
            read: Callable[[Place], NDArray[np.float32]], place: Place
        ) -> NDArray[np.float32]:
            down, across = rows[place[0]], columns[place[1]]
            return read((slice(down.start, down.stop), slice(across.start, across.stop)))

        made = copy(self)
        made.shape = (len(self), len(rows), len(columns))
        made._whole = None if self._whole is None else self._whole[:, *place]
        made._read = [partial(within, read) for read in self._read]
        made._least = {}
        made.__dict__.pop("least", None)
        return made

    def rows_of(self, source: int) -> Callable[[slice], NDArray[np.float32]]:
        """Return what makes some rows of a source."""
        if self._whole is not None:
            whole: NDArray[np.float32] = self._whole[source]
            return lambda rows: whole[rows]
        return lambda rows: self._read[source]((rows, slice(None)))

    @cached_property
    def least(self) -> NDArray[np.float32]:  # noqa: D102 - above
        for source in range(len(self)):
            if source not in self._least:
                self._make(source, np.empty(self.shape[1:], np.float32))
        return np.array([self._least[source] for source in range(len(self))])

    def _make(self, source: int, luma: NDArray[np.float32]) -> NDArray[np.float32]:
        for rows in bands(*luma.shape):
            luma[rows] = self._read[source]((rows, slice(None)))
        self._least[source] = luma.min()
        return luma


def reader_of(picture: Picture) -> Callable[[Place], NDArray[np.float32]]:
    """Return what makes the luma of some rows and columns of a picture.

    Of 8 bits, by a table for each channel, which takes a third of the time and gives the same.
    """
    if picture.channels == 1:
        return picture.unit
    if not picture.is_colour:
        # Equal channels are their own luma.
        return lambda place: picture.unit((*place, 0))
    if picture.dtype != np.uint8:
        return lambda place: luma_of(picture.unit(place)).astype(np.float32)
    unit = to_unit(np.arange(256, dtype=np.uint8), picture.low, picture.high).astype(np.float32)
    tables = [share * unit.astype(np.float64) for share in LUMA]

    def by_tables(place: Place) -> NDArray[np.float32]:
        pixels = picture.pixels[place]
        luma, green, blue = (
            np.take(table, pixels[..., channel], mode="clip")  # faster; there is nothing to clip
            for channel, table in enumerate(tables)
        )
        luma += green
        luma += blue
        made: NDArray[np.float32] = luma.astype(np.float32)
        return made

    return by_tables
