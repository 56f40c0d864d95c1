"""Temperatures as people look at them: a palette, and a scale that says what its colours are."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fusionkit.imaging import Picture

PALETTES = ("inferno", "grey")
"""The first is taken unless the other is chosen."""

_MAPS = {"inferno": "inferno", "grey": "gray"}
_INCHES, _DPI = (6.4, 0.8), 100

Shown = NDArray[np.uint8]


def coloured(picture: Picture, palette: str) -> Shown:
    """Return a grey picture in a palette, (H, W, 3); white where there are no data."""
    image: Shown = colormaps[_MAPS[palette]](picture.unit(), bytes=True)[..., :3].copy()
    if picture.mask is not None:
        image[~picture.mask] = 255
    return image


def scale(picture: Picture, palette: str) -> Shown:
    """Return the bar of a palette, with the picture's values along it, (H, W, 3)."""
    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    values = ScalarMappable(Normalize(picture.low, picture.high), _MAPS[palette])
    bar = figure.colorbar(values, cax=figure.add_subplot(), orientation="horizontal")
    bar.set_label(picture.quantity)
    canvas.draw()  # type: ignore[no-untyped-call]
    drawn: Shown = np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
    return drawn
