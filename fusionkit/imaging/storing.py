"""Fused luminance as it is stored: in colour, in the output's depth, without what nobody saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contract.counting import number_of
from . import ColourPlan, OutputFormat, Picture, bands, from_unit, full_scale
from ._threads import on_threads
from .luma import WHOLE, Place
from .metadata import Metadata


@dataclass(frozen=True, eq=False)
class Storage:
    """How a result is stored.

    Attributes
    ----------
    format
        Depth and range.
    alpha
        (H, W) in [0, 1], or None.
    hidden
        (H, W), True where no source shows the scene; None if there is no such place.
    no_data
        The stored value that means that there is none, or None.
    metadata
        What is written beside the pixels.
    """

    format: OutputFormat
    alpha: NDArray[Any] | None
    hidden: NDArray[np.bool_] | None
    no_data: float | None
    metadata: Metadata

    @classmethod
    def of(
        cls,
        first: Picture,
        format: OutputFormat,
        alpha: NDArray[Any] | None,
        shown: NDArray[np.bool_] | None,
        metadata: Metadata,
    ) -> Storage:
        """Choose how pixels are stored that no source shows.

        They are the value that the first source declares to mean so, if the result has its
        depth and range; else NaN where the depth is floating point; else transparent.
        """
        stored = (format.dtype, format.low, format.high)
        as_first = stored == (first.dtype, first.low, first.high) and metadata.declares_no_data
        no_data = first.no_data if as_first else None
        if no_data is None:
            metadata = metadata.without_no_data()
        hidden: NDArray[np.bool_] | None = None
        if shown is not None and not shown.any(axis=0).all():
            hidden = np.logical_not(shown.any(axis=0))
        if hidden is not None and no_data is None:
            if format.dtype.kind == "f":
                no_data = np.nan
            else:
                alpha = np.where(hidden, 0.0, 1.0 if alpha is None else alpha)
        return cls(format, alpha, hidden, no_data, metadata)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the person should know of it."""
        if self.hidden is None:
            return ()
        what = "transparent" if self.no_data is None else f"{self.no_data:g}"
        count = int(np.count_nonzero(self.hidden))
        are, they = ("is", "it is") if count == 1 else ("are", "they are")
        said = f"{number_of(count, 'pixel')} {are} shown by no source: in the output {they} {what}"
        return (said,)

    def pixels(
        self, plan: ColourPlan, luma: NDArray[Any], weights: NDArray[Any], threads: int = 1
    ) -> NDArray[Any]:
        """Return the fused luma, (H, W), in colour, as it is stored."""
        pixels = self.blank(luma.shape, plan.layout)
        self.put(pixels, WHOLE, plan, luma, weights, threads)
        return self.finished(pixels)

    def blank(self, size: tuple[int, ...], channels: int) -> NDArray[Any]:
        """Return pixels to put parts into."""
        return np.empty(size if channels == 1 else (*size, channels), self.format.dtype)

    def put(
        self,
        pixels: NDArray[Any],
        place: Place,
        plan: ColourPlan,
        luma: NDArray[Any],
        weights: NDArray[Any],
        threads: int = 1,
    ) -> None:
        """Store a part of the fused luma, (h, w), in colour, in its place; some rows at a time."""
        first, columns = place[0].start or 0, place[1]
        height, width = luma.shape

        def put_rows(rows: slice) -> None:
            where = slice(first + rows.start, first + rows.stop), columns
            unit = plan.part(where).attach(luma[rows], weights[:, rows])
            pixels[where] = self._depth(unit)

        on_threads(put_rows, bands(height, width * plan.at_once), threads)

    def planes(self, planes: NDArray[Any]) -> NDArray[Any]:
        """Return fused channels, (C, H, W), as they are stored."""

        def channels(rows: slice) -> NDArray[np.float64]:
            unit = np.moveaxis(planes[:, rows], 0, -1).astype(np.float64).clip(0, 1)
            return unit if len(planes) > 1 else unit[..., 0]

        pixels = self.blank(planes.shape[1:], len(planes))
        for rows in bands(*planes.shape[1:]):
            pixels[rows] = self._depth(channels(rows))
        return self.finished(pixels)

    def _depth(self, unit: NDArray[np.float64]) -> NDArray[Any]:
        return from_unit(unit, self.format.dtype, self.format.low, self.format.high)

    def finished(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return pixels that all were put, with what says that there are no data."""
        if self.no_data is not None:
            _keep_apart(pixels, self.no_data)
            if self.hidden is not None:
                pixels[self.hidden] = self.no_data
        return pixels

    def stored_alpha(self) -> NDArray[Any] | None:
        """Return alpha as it is stored."""
        if self.alpha is None:
            return None
        return from_unit(self.alpha, self.format.dtype, *full_scale(self.format.dtype))


def _keep_apart(pixels: NDArray[Any], no_data: float) -> None:
    """Move values that would be taken for no data by the least step."""
    if pixels.dtype.kind == "f":
        value = pixels.dtype.type(no_data)
        pixels[pixels == value] = np.nextafter(value, pixels.dtype.type(np.inf))
    else:
        top = np.iinfo(pixels.dtype).max
        pixels[pixels == no_data] = no_data + 1 if no_data < top else no_data - 1
