"""The strip: how the fused image comes about step by step, and what each source has to do with it.

Columns are steps, from noise to the result. The first row is the fused image; then each
source, at the left, has a row of weight maps and a row of gain maps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import FuncNorm, Normalize
from numpy.typing import ArrayLike, NDArray

from ..contract.counting import number_of
from .sheet import FAINT, MINUS, SIGMA, Sheet, noise_level, shortened
from .summary import weighs_by

if TYPE_CHECKING:
    from .collect import Trace
    from .maps import Maps

_WEIGHT_COLOURS = "viridis"
_GAIN_COLOURS = "RdBu_r"
_MARGIN, _GAP, _BETWEEN_SOURCES = 20, 6, 30
_TOP = 92
_LABELS, _LEGEND = 124, 52
_LEAST_WIDTH, _LEAST_HEIGHT = 110, 72
_WIDEST_HEAD, _LEAST_SHEET = 250, 640


@dataclass(frozen=True)
class _Layout:
    """Where things go, in layout pixels, for maps of h x w pixels."""

    h: int
    w: int
    columns: int
    sources: int

    @property
    def cell(self) -> tuple[float, float]:
        """Width and height of a map: its own pixels, enlarged where they are too few."""
        grow = max(1.0, min(_LEAST_WIDTH / self.w, 2 * _LEAST_HEIGHT / self.h))
        return self.w * grow, self.h * grow

    @property
    def pitch(self) -> float:
        """From one column to the next; a tall image leaves room for the titles."""
        return max(self.cell[0], 64) + _GAP

    @property
    def line(self) -> float:
        """Height of a row; a wide image leaves room for the labels."""
        return max(self.cell[1], 60)

    @property
    def block(self) -> float:
        """Height of a source's two rows."""
        return 2 * self.line + _GAP

    @property
    def head(self) -> tuple[float, float]:
        """Width and height of a source at the left."""
        width = min(_WIDEST_HEAD, self.block * self.w / self.h)
        return width, width * self.h / self.w

    @property
    def head_column(self) -> float:
        return max(self.head[0], 90)

    def place(self, column: int, top: float) -> tuple[float, float, float, float]:
        """Left, top, width and height of a map in a row that begins at ``top``."""
        width, height = self.cell
        return self.column(column), top + (self.line - height) / 2, width, height

    def column(self, place: int) -> float:
        """Left edge of a column of maps."""
        spare = self.pitch - _GAP - self.cell[0]
        return _MARGIN + self.head_column + _LABELS + place * self.pitch + spare / 2

    def row(self, source: int) -> float:
        """Upper edge of a source's weight maps."""
        above = _TOP + self.line + _BETWEEN_SOURCES
        return above + source * (self.block + _BETWEEN_SOURCES)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the whole."""
        width = _MARGIN + self.head_column + _LABELS + self.columns * self.pitch + _LEGEND
        return max(width + _MARGIN, _LEAST_SHEET), self.row(
            self.sources
        ) - _BETWEEN_SOURCES + _MARGIN


def draw_strip(trace: Trace) -> bytes:
    """Draw the strip of a finished trace; return it as a PNG file."""
    maps = trace.maps()
    means = trace.numbers()["weight"][:, :, 0]
    K, h, w, _ = maps.sources.shape
    layout = _Layout(h, w, len(maps.steps), K)
    sheet = Sheet(*layout.size)
    _draw_fused(sheet, layout, maps, trace)
    gain_norm = _gain_norm(maps.gains)
    made_of_gain = weighs_by(trace) == "gain"
    for k, name in enumerate(trace.source_names()):
        _draw_source(sheet, layout, maps, k, name, made_of_gain)
        _draw_maps(sheet, layout, maps, k, means[:, k], gain_norm)
    return sheet.png()


def _draw_fused(sheet: Sheet, layout: _Layout, maps: Maps, trace: Trace) -> None:
    """Draw titles, and the fused image after each step."""
    run = trace.finished_run()
    sheet.text(_MARGIN, 12, _title(trace, sheet.width), 13, weight="bold")
    sheet.text(_MARGIN, 34, _subtitle(trace), 9, color=FAINT)
    cw = layout.cell[0]
    labels = layout.column(0) - 10
    sheet.text(labels, _TOP - 20, f"noise level {SIGMA}", 9, ha="right", color=FAINT)
    _label(sheet, labels, _TOP + layout.line / 2, "fused image", "after each step")
    for place, i in enumerate(maps.steps):
        left = layout.column(place)
        last = " = result" if i == run.steps - 1 and cw > 100 else ""
        sheet.text(left + cw / 2, _TOP - 37, f"step {i + 1}{last}", 10, ha="center", weight="bold")
        sigma = f"{SIGMA} {noise_level(run.sigma[i])}"
        sheet.text(left + cw / 2, _TOP - 20, sigma, 9, ha="center", color=FAINT)
        sheet.picture(maps.estimates[place], *layout.place(place, _TOP))


def _draw_source(
    sheet: Sheet, layout: _Layout, maps: Maps, k: int, name: str, made_of_gain: bool
) -> None:
    """Draw a source at the left of its rows, and what the rows are."""
    width, height = layout.head
    top = layout.row(k)
    middle = top + (layout.block - height) / 2
    sheet.picture(maps.sources[k], _MARGIN, middle, width, height)
    room = layout.head_column + _LABELS
    sheet.text(_MARGIN, middle - 4, shortened(name, room / 7), 10, va="bottom", weight="bold")
    labels = layout.column(0) - 10
    _label(sheet, labels, top + layout.line / 2, "weight", "how much it\ncounts here")
    meaning = "what denoising\nrecovers of it" + ("\n(makes the weight)" if made_of_gain else "")
    _label(sheet, labels, top + _GAP + 1.5 * layout.line, "gain", meaning)


def _draw_maps(
    sheet: Sheet,
    layout: _Layout,
    maps: Maps,
    k: int,
    means: NDArray[np.float64],
    gain_norm: FuncNorm,
) -> None:
    """Draw a source's weight maps, with their means, and its gain maps, with the legends."""
    top = layout.row(k)
    below = top + layout.line + _GAP
    weight_norm = Normalize(0, 1)
    for place, i in enumerate(maps.steps):
        upper, lower = layout.place(place, top), layout.place(place, below)
        sheet.picture(maps.weights[place, k], *upper, _WEIGHT_COLOURS, weight_norm)
        sheet.picture(maps.gains[place, k], *lower, _GAIN_COLOURS, gain_norm)
        box = {"facecolor": "black", "alpha": 0.65, "edgecolor": "none", "pad": 2}
        mean = f"{means[i]:.0%}"
        foot = upper[1] + upper[3]
        sheet.text(upper[0] + 5, foot - 5, mean, 8, va="bottom", color="white", bbox=box)
    most = float(gain_norm.vmax or 0)
    edge = layout.column(layout.columns - 1) + layout.cell[0] + 10
    tall = layout.line - 10
    sheet.colour_bar(weight_norm, _WEIGHT_COLOURS, edge, top + 5, 9, tall, ["0%", "100%"])
    scale = [f"{MINUS}{most:.1g}", "0", f"{most:.1g}"]
    sheet.colour_bar(gain_norm, _GAIN_COLOURS, edge, below + 5, 9, tall, scale)


def _label(sheet: Sheet, right: float, middle: float, title: str, meaning: str) -> None:
    """Write what a row is: a title, and a few words on it."""
    sheet.text(right, middle - 1, title, 10, ha="right", va="bottom", weight="bold")
    sheet.text(right, middle + 2, meaning, 8, ha="right", color=FAINT, multialignment="right")


def _gain_norm(gains: NDArray[np.float32]) -> FuncNorm:
    """One scale for all gain maps, so that steps and sources compare: signed square roots.

    Gains of the first steps are often ten times those of the last, which a straight scale
    would leave blank. The outermost hundredth is cut off, and the end rounded up to one digit.
    """
    most = max(float(np.quantile(np.abs(gains), 0.99)), 1e-12)
    digit = 10.0 ** np.floor(np.log10(most))
    most = float(np.ceil(most / digit) * digit)

    def root(values: ArrayLike) -> NDArray[np.float64]:
        return np.copysign(np.sqrt(np.abs(values)), values)

    def square(values: ArrayLike) -> NDArray[np.float64]:
        return np.copysign(np.square(values), values)

    return FuncNorm((root, square), -most, most)


def _title(trace: Trace, width: float) -> str:
    names = [shortened(name, 30) for name in trace.source_names()]
    title = f"How {', '.join(names[:-1])} and {names[-1]} were fused"
    return title if 10 * len(title) < width else f"How {len(names)} sources were fused"


def _subtitle(trace: Trace) -> str:
    run = trace.finished_run()
    steps = number_of(run.steps, "step")
    named = {} if trace.pipeline is None else trace.pipeline.parts
    # plugin:name, or <module.Class> for an object that was handed over: the last part says it.
    parts = [
        f"{group} {re.split('[:.]', part.table['name'].strip('<>'))[-1]}"
        for group, part in named.items()
    ]
    target = ["target only"] if trace.target_only else []
    return "  ·  ".join([*parts, steps, *target])
