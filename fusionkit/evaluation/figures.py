"""Figures of a study: a trade-off, differences scene by scene, effects. Vectors, as SVG or PDF."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contract.options import suggest
from ..errors import UsageError
from ..imaging import atomic_write
from .contrasts import effects, pairwise
from .report.rows import ROLES
from .report.summary import COST_TITLES, COSTS
from .sheet import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .study_table import StudyTable

FORMATS = (".svg", ".pdf", ".png")

_MARKERS = ("o", "s", "^", "D", "x", "v")
_INKS = [colour for colour in COLOURS if colour not in ("#ffffff", "#f0e442")]  # seen on white
_STYLE: Any = {"svg.hashsalt": "fusionkit", "svg.fonttype": "path", "font.size": 9}
_NO_DATE: Mapping[str, dict[str, Any]] = {
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
    ".png": {},
}
"""So that a figure of the same numbers is the same file."""


def draw(
    table: StudyTable,
    kind: str,
    metric: str,
    path: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Figure:
    """Draw a figure of a study, see :meth:`StudyTable.plot`."""
    table.place_of(metric)  # refused before anything is drawn
    if kind not in KINDS:
        hint = suggest(kind, KINDS) or f" There are {', '.join(KINDS)}."
        raise UsageError(f"unknown kind of plot {kind!r}.{hint}")
    target = None if path is None else Path(path)
    if target is not None and target.suffix.lower() not in FORMATS:
        raise UsageError(f"{target}: a figure is written as {', '.join(FORMATS)}")
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        FigureCanvasAgg(figure)  # not pyplot's: no window, and nothing left open
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        KINDS[kind](table, metric, axes, **options)
        if target is not None:
            form = target.suffix.lower()
            with atomic_write(target, overwrite=True) as file:
                figure.savefig(file, format=form[1:], metadata=_NO_DATE[form])
    return figure


def _trade_off(table: StudyTable, metric: str, axes: Axes, cost: str = "nfe") -> None:
    if cost not in COSTS:
        raise UsageError(f"unknown cost {cost!r}: there are {', '.join(COSTS)}")
    title, roles = _titled(table, metric), list(ROLES)
    for number, record in enumerate(table.means(), 1):
        x, y = record[cost], record[metric]
        if math.isnan(x) or math.isnan(y):
            continue
        place = roles.index(record["role"]) if record["role"] in roles else len(roles)
        error = record[f"{metric} se"]
        axes.errorbar(
            x,
            y,
            yerr=None if math.isnan(error) else error,
            fmt=_MARKERS[place % len(_MARKERS)],
            color=_INKS[place % len(_INKS)],
            label=f"{number} {record['row']}",
        )
        axes.annotate(str(number), (x, y), (5, 4), textcoords="offset points")
    axes.set_xlabel(COST_TITLES[cost])
    axes.set_ylabel(f"{title}, mean and standard error over scenes")
    axes.legend(fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def _differences(table: StudyTable, metric: str, axes: Axes, reference: str | None = None) -> None:
    summary = table.summary
    base = table.place_of_row(reference)
    n = table.metrics.index(metric)
    shown = list(reversed(list(pairwise(summary, base, [n]))))
    for height, record in enumerate(shown):
        row = table.rows.index(record["row"])
        values = summary.scores.values[row, :, n] - summary.scores.values[base, :, n]
        axes.plot(values, [height] * len(values), "o", color=_INKS[1], alpha=0.5, ms=3.5)
        _interval(axes, record, height)
    _rows(axes, [record["row"] for record in shown])
    axes.set_xlabel(f"{_titled(table, metric)}, minus {table.rows[base]}: scenes, mean and 95%")


def _effects(table: StudyTable, metric: str, axes: Axes) -> None:
    shown = list(reversed(list(effects(table.summary, [table.metrics.index(metric)]))))
    for height, record in enumerate(shown):
        _interval(axes, record, height)
    _rows(axes, [record["effect"] for record in shown])
    axes.set_xlabel(f"effect on {_titled(table, metric)}, mean and 95%")


KINDS: Mapping[str, Callable[..., None]] = {
    "trade-off": _trade_off,
    "differences": _differences,
    "effects": _effects,
}


def _interval(axes: Axes, record: Mapping[str, Any], height: int) -> None:
    """Draw a mean with its interval; filled where it stands out in its table."""
    sure = record["verdict"] in ("better", "worse", "differs", "interact")
    if not math.isnan(record["low"]):
        axes.plot([record["low"], record["high"]], [height] * 2, color="black", lw=1.2)
    axes.plot(record["difference"], height, "D", ms=5, color="black", mfc="black" if sure else "w")


def _rows(axes: Axes, labels: list[str]) -> None:
    axes.set_yticks(range(len(labels)), labels, fontsize=7)
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.axvline(0, color="grey", lw=0.8, zorder=0)
    axes.figure.set_figheight(max(2.0, 0.9 + 0.26 * len(labels)))  # type: ignore[union-attr]


def _titled(table: StudyTable, metric: str) -> str:
    return table.summary.measures[table.metrics.index(metric)].title
