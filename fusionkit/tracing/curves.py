"""The curves: weights, gains, and how weights go with what there is to gain, against the step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray

from .sheet import FAINT, SIGMA, Sheet, noise_level, shortened
from .summary import QUANTITIES, total, weighs_by

if TYPE_CHECKING:
    from .collect import Trace

# Okabe and Ito's colours, which the colour-blind can tell apart.
_SOURCE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_QUANTITY_COLOURS = {"gain": "#1b1b1b", "residual": "#8a5a00", "contribution": "#7a4fb5"}
_WIDTH, _HEIGHT = 1290, 400
_PANEL, _TALL, _LEFT, _ABOVE, _PITCH = 330, 232, 70, 84, 425
_TICKS = 8


def draw_curves(trace: Trace) -> bytes:
    """Draw the curves of a finished trace; return them as a PNG file. A batch is averaged over."""
    sheet = Sheet(_WIDTH, _HEIGHT)
    numbers = {name: values.mean(2) for name, values in trace.numbers().items()}
    weights = _panel(sheet, 0, "How much each source counts", "mean weight", trace)
    _by_source(weights, numbers["weight"], trace)
    weights.set_ylim(0, 1)
    weights.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    _legend(weights)

    gains = _panel(sheet, 1, "What denoising recovers of each", "mean gain", trace)
    _by_source(gains, numbers["gain"], trace)
    _scale(gains, numbers["gain"])

    along = _panel(
        sheet,
        2,
        "Do the weights follow it?",
        "covariance of weights with ...; above 0, they do",
        trace,
    )
    along.axhline(0, color=FAINT, linewidth=0.8)
    for name in QUANTITIES:
        rows = numbers[f"covariance-{name}"]
        summed = total(rows)
        label = name + (" (true by construction)" if name == weighs_by(trace) else "")
        label += ": no estimate" if summed is None else f": total {summed:.3g}"
        _line(along, rows.sum(1), _QUANTITY_COLOURS[name], label)
    _legend(along)
    return sheet.png()


def _panel(sheet: Sheet, place: int, title: str, what: str, trace: Trace) -> Axes:
    """Add one panel, with steps and their noise levels across."""
    run = trace.finished_run()
    left = _LEFT + place * _PITCH
    sheet.text(left, 20, title, 12, weight="bold")
    sheet.text(left, 44, what, 9, color=FAINT)
    axes = sheet.axes(left, _ABOVE, _PANEL, _TALL)
    shown = np.unique(np.linspace(0, run.steps - 1, min(run.steps, _TICKS)).round().astype(int))
    axes.set_xticks(
        [i + 1 for i in shown], [f"{i + 1}\n{noise_level(run.sigma[i])}" for i in shown]
    )
    axes.set_xlabel(f"step, and its noise level {SIGMA} below", fontsize=9, color=FAINT)
    axes.tick_params(labelsize=9, colors=FAINT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def _by_source(axes: Axes, rows: NDArray[np.float64], trace: Trace) -> None:
    for k, name in enumerate(trace.source_names()):
        _line(axes, rows[:, k], _SOURCE_COLOURS[k % len(_SOURCE_COLOURS)], shortened(name, 24))


def _line(axes: Axes, values: NDArray[np.float64], colour: str, label: str) -> None:
    """Draw one curve over the steps 1 ... N; it has a gap where there was no estimate."""
    steps = np.arange(1, len(values) + 1)
    marker = "o" if len(values) <= 30 else ""
    axes.plot(steps, values, color=colour, label=label, marker=marker, markersize=4, linewidth=1.8)


def _legend(axes: Axes) -> None:
    """Say which curve is what, where there is room."""
    for text in axes.legend(fontsize=9, frameon=False, loc="best").get_texts():
        text.set_parse_math(False)  # a file may be called a$b$c


def _scale(axes: Axes, values: NDArray[np.float64]) -> None:
    """Let gains that differ by orders of magnitude all be seen, if all are gains."""
    least, most = float(values.min()), float(values.max())
    if least > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 100 * least else (1,)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.axhline(0, color=FAINT, linewidth=0.8)
