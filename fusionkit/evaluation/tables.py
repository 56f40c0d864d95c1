"""Scores as text, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import visible
from ..imaging.files import as_cell
from .scores import Scores
from .statistics import Difference, criterion

INTERVALS = "95% intervals of a paired bootstrap over scenes (BCa)"


def as_text(scores: Scores, bold: bool = False) -> str:
    """Return means ± standard deviations for a terminal, the best of a column bold or starred."""
    marks = ("\033[1m", "\033[0m") if bold else ("", "*")
    cells = _cells(scores, deviation=len(scores.scenes) > 1)
    header = ["method", *_headings(scores)]
    cells = [(visible(method), row) for method, row in cells]
    rows = [[method, *(text for text, _ in row)] for method, row in cells]
    widths = [max(len(row[n]) for row in [header, *rows]) + 1 for n in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(header, widths, strict=True))]
    for method, row in cells:
        line = [method.ljust(widths[0])]
        for (text, best), width in zip(row, widths[1:], strict=True):
            marked = f"{marks[0]}{text}{marks[1]}" if best else text
            line.append(marked + " " * (width - len(text) - (1 if best and not bold else 0)))
        lines.append("  ".join(line))
    return "\n".join(line.rstrip() for line in lines)


def as_markdown(scores: Scores, beside: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """Return the means as a Markdown table, the best of a column in bold.

    ``beside`` are columns of text to add: heading to method to text.
    """
    added = beside or {}
    header = ["method", *_headings(scores), *added]
    lines = [_row(header), _row(["---"] * len(header))]
    for method, row in _cells(scores, deviation=False):
        cells = [f"**{text}**" if best else text for text, best in row]
        lines.append(_row([method, *cells, *(column[method] for column in added.values())]))
    return "\n".join(lines)


def differences_as_markdown(scores: Scores, baseline: str) -> str:
    """Return differences from a baseline with intervals; in bold what stands out in the table."""
    header = [f"minus {baseline}", *(column.name for column in scores.columns)]
    lines = [_row(header), _row(["---"] * len(header))]
    differences = scores.differences(baseline)
    for method, found in differences.items():
        lines.append(_row([method, *(_difference(difference) for difference in found)]))
    return "\n".join([*lines, "", _legend(differences.values())])


def advantages_as_markdown(
    scores: Scores, method: str, beside: Mapping[str, Mapping[str, str]] | None = None
) -> str:
    """Return what a method has more than each other one, as :func:`differences_as_markdown`.

    ``beside`` are columns of text to put first: heading to method to text.
    """
    added = beside or {}
    header = [f"{method} minus", *added, *(column.name for column in scores.columns)]
    lines = [_row(header), _row(["---"] * len(header))]
    differences = scores.differences(method)
    for other, found in differences.items():
        cells = [_difference(None if each is None else -each) for each in found]
        lines.append(_row([other, *(column[other] for column in added.values()), *cells]))
    return "\n".join([*lines, "", _legend(differences.values())])


def as_csv(scores: Scores) -> str:
    """Return every single value: method, scene, a column per metric; empty where there is none."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["method", "scene", *(column.name for column in scores.columns)])
    for method, per_scene in zip(scores.methods, scores.values, strict=True):
        for scene, values in zip(scores.scenes, per_scene, strict=True):
            writer.writerow(
                [
                    as_cell(method),
                    as_cell(scene),
                    *("" if math.isnan(v) else repr(float(v)) for v in values),
                ]
            )
    return buffer.getvalue()


def as_json(scores: Scores, baseline: str | None = None) -> str:
    """Return everything: columns with conventions, values, means, ranks, differences, problems."""
    names = [column.name for column in scores.columns]
    mean, deviation, ranks = scores.mean(), scores.deviation(), scores.ranks()
    each = scores.mean_per_source()
    methods = {
        method: {
            "mean": _numbers(names, mean[place]),
            "mean_per_source": _numbers(list(each), [values[place] for values in each.values()]),
            "sd": _numbers(names, deviation[place]),
            **{ranking: round(float(values[place]), 4) for ranking, values in ranks.items()},
            "scenes": {
                scene: _numbers(names, scores.values[place, row])
                for row, scene in enumerate(scores.scenes)
            },
        }
        for place, method in enumerate(scores.methods)
    }
    content: dict[str, Any] = {
        "metrics": {
            column.name: {
                "higher_is_better": column.higher_is_better,
                "convention": column.convention,
            }
            for column in scores.columns
        },
        "methods": methods,
        "notes": scores.notes,
        "problems": scores.problems,
    }
    if baseline is not None and len(scores.methods) > 1:
        differences = scores.differences(baseline)
        content["differences"] = {
            "baseline": baseline,
            "interval": INTERVALS,
            "stands_out": criterion(comparisons(differences.values())),
            "methods": {
                method: dict(zip(names, map(_difference_as_dict, found), strict=True))
                for method, found in differences.items()
            },
        }
    return json.dumps(content, indent=2, ensure_ascii=False)


def _headings(scores: Scores) -> list[str]:
    arrows = {True: "↑", False: "↓"}
    return [
        *(f"{column.name} {arrows[column.higher_is_better]}" for column in scores.columns),
        *(f"{ranking} ↓" for ranking in scores.ranks()),
    ]


def _cells(scores: Scores, deviation: bool) -> list[tuple[str, list[tuple[str, bool]]]]:
    mean, spread, best, ranks = scores.mean(), scores.deviation(), scores.best(), scores.ranks()
    several = len(scores.methods) > 1
    rows = []
    for place, method in enumerate(scores.methods):
        row = []
        for n in range(len(scores.columns)):
            text = number(mean[place, n])
            if deviation and not math.isnan(spread[place, n]):
                text += f" ± {number(spread[place, n])}"
            row.append((text, several and bool(best[place, n])))
        row += [
            (f"{values[place]:.2f}", several and bool(values[place] == values.min()))
            for values in ranks.values()
        ]
        rows.append((method, row))
    return rows


def number(value: float) -> str:
    """Write a score with three decimals, or ``-`` where there is none."""
    return "-" if math.isnan(value) else f"{value:.3f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(visible(cell).replace('|', '&#124;') for cell in cells)} |"


def _difference(difference: Difference | None) -> str:
    if difference is None:
        return "-"
    if difference.scenes == 1:
        return f"{difference.mean:+.3f}"
    text = f"{difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
    return f"**{text}**" if difference.stands_out else text


def comparisons(found: Iterable[Sequence[Difference | None]]) -> int:
    """Return how many differences of a table are tested: those over two scenes or more."""
    return sum(each is not None and each.scenes > 1 for row in found for each in row)


def _legend(found: Iterable[Sequence[Difference | None]]) -> str:
    number_of = comparisons(found)
    if not number_of:
        return "Over one scene there is no interval of a difference."
    return f"{INTERVALS}. Bold: {criterion(number_of)}."


def _difference_as_dict(difference: Difference | None) -> dict[str, float | bool] | None:
    if difference is None:
        return None
    return {
        "mean": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "p": difference.p,
        "stands_out": difference.stands_out,
    }


def _numbers(names: Sequence[str], values: Any) -> dict[str, float | None]:
    return {
        name: None if math.isnan(value) else float(value)
        for name, value in zip(names, values, strict=True)
    }
