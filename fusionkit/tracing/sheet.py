"""A page to draw on with matplotlib, measured in pixels from the upper left corner.

matplotlib is used through its objects: no pyplot, no global state, nothing set for others.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

INK, FAINT = "#1b1b1b", "#6b6b6b"
SIGMA, MINUS = "\u03c3", "\u2212"
_DPI = 100
_FINER = 1.5  # the picture has this many pixels for each of the layout's


def shortened(name: str, most: float) -> str:
    """Return a name of at most so many characters, on one line, its middle left out if need be."""
    name, most = " ".join(name.split()), max(8, int(most))
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-(most - most // 2) :]}"


def noise_level(sigma: float) -> str:
    """Return a noise level in few characters."""
    return f"{sigma:.0f}" if sigma >= 10 else f"{sigma:.2g}"


class Sheet:
    """One figure of width x height layout pixels."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(self.figure)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes with these outer measures of the plotting area."""
        bottom = self.height - top - height
        return self.figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height)
        )

    def picture(
        self,
        pixels: NDArray[Any],
        left: float,
        top: float,
        width: float,
        height: float,
        cmap: str = "gray",
        norm: Normalize | None = None,
    ) -> None:
        """Show (H, W) or (H, W, 1 or 3) values; without ``norm``, in [-1, 1]."""
        axes = self.axes(left, top, width, height)
        axes.set_axis_off()
        if norm is None:
            pixels = np.clip((pixels + 1) / 2, 0, 1)
            norm = Normalize(0, 1)
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = pixels[..., 0]
        axes.imshow(pixels, cmap=cmap, norm=norm, aspect="auto", interpolation="nearest")

    def colour_bar(
        self,
        norm: Normalize,
        cmap: str,
        left: float,
        top: float,
        width: float,
        height: float,
        labels: Sequence[str],
    ) -> None:
        """Draw a legend of colours, upright, with labels spread evenly from end to end."""
        axes = self.axes(left, top, width, height)
        axes.set_axis_off()
        shades = np.linspace(1, 0, 256)[:, np.newaxis]
        axes.imshow(norm.inverse(shades), cmap=cmap, norm=norm, aspect="auto")
        for place, label in zip(np.linspace(1, 0, len(labels)), labels, strict=True):
            self.text(left + width + 4, top + place * height, label, 8, va="center", color=FAINT)

    def text(self, left: float, top: float, words: str, size: float = 9, **style: Any) -> None:
        """Write words whose upper left corner is there, or as ``ha`` and ``va`` say."""
        style = {"ha": "left", "va": "top", "color": INK, **style}
        self.figure.text(
            left / self.width,
            1 - top / self.height,
            words,
            fontsize=size,
            parse_math=False,  # a file may be called a$b$c
            **style,
        )

    def png(self) -> bytes:
        """Return the page as a PNG file; the same page gives the same bytes."""
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            # A name in a script that the font lacks is shown as boxes: nothing to warn of.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            self.figure.savefig(
                buffer, format="png", dpi=_DPI * _FINER, metadata={"Software": None}
            )
        return buffer.getvalue()
