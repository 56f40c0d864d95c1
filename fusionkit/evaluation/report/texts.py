"""The report as text for a terminal, as Markdown and as CSV; and the words that all share."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...contract.counting import number_of
from ...imaging.files import as_cell
from ..departures import Departure, shown
from ..statistics import Difference, criterion, least_scenes
from ..study import Cell
from ..tables import number
from .rows import ROLES, Row
from .summary import COST_TITLES, COSTS, Summary

GIVEN = "given"
"""The plugin that objects from Python stand under."""

INTERVALS = "95% intervals, paired bootstrap over scenes (BCa)"


def as_text(summary: Summary) -> str:
    """Return the table of means, starred where a difference from the reference stands out."""
    measures = [measure.title for measure in summary.measures]
    header = ["", *measures, *(f"{name} ↓" for name in summary.ranks)]
    header += [*COST_TITLES.values()]
    lines: list[list[str]] = [header]
    differences = summary.differences
    means, costs = summary.scores.mean(), summary.mean_costs()
    for place, row in enumerate(summary.rows):
        line = [one_line(row.label)]
        for n in range(len(measures)):
            difference = differences[place][n]
            star = "*" if difference is not None and difference.stands_out else ""
            line.append(number(means[place, n]) + star)
        line += [f"{values[place]:.2f}" for values in summary.ranks.values()]
        line += [cost(name, costs[place, n]) for n, name in enumerate(COSTS)]
        lines.append(line)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    notes = [test_words(summary, f"* differs from {one_line(summary.study.reference)}")]
    notes.append(twin_words(summary))
    return "\n".join([*text, "", *filter(None, notes), *warnings_of(summary)])


def as_markdown(summary: Summary) -> str:
    """Return means, differences, conventions and commands as a Markdown document."""
    reference = _escaped(summary.rows[summary.reference].label)
    parts = [f"# Ablation {_escaped(summary.folder.resolve().name)}", overview(summary)]
    parts += [f"**{_escaped(line)}**" for line in warnings_of(summary)]
    parts += ["## Means", _means(summary)]
    if len(summary.rows) > 1:
        parts += [
            f"## Differences from {reference}",
            f"With {INTERVALS}. " + test_words(summary, "In bold"),
            _differences(summary),
        ]
        parts += _departures(summary)
    parts += ["## Metrics", _conventions(summary)]
    parts += ["## Commands", "For the first scene; the others take their own sources."]
    scene = summary.scenes[0]
    for row in summary.rows:
        for cell in row.cells:
            parts += [f"{_escaped(row.label)}{seed_words(row, cell)}:"]
            made = command(summary, cell, scene)
            parts += [_fenced(made) if made else made_without(row)]
    if summary.problems:
        parts += ["## Not measured", "\n".join(f"- {_escaped(line)}" for line in summary.problems)]
    return "\n\n".join(parts) + "\n"


def as_csv(summary: Summary) -> str:
    """Return a line per cell and scene that is done, with every value."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = [measure.name for measure in summary.measures]
    writer.writerow(["row", "role", "cell", "seed", "scene", *names, *COSTS])
    for row, cell, scene in pairs(summary):
        line = summary.lines.get((cell.key, scene))
        if line is not None:
            seed = cell.seed if cell.recipe else ""
            values = [line.get("values", {}).get(name) for name in names]
            values += [line.get(name) for name in COSTS]
            # None, of what was not measured, is written as an empty field.
            words = [as_cell(text) for text in (row.label, row.role, cell.key)]
            writer.writerow([*words, seed, as_cell(scene), *values])
    return buffer.getvalue()


def pairs(summary: Summary) -> Iterator[tuple[Row, Cell, str]]:
    """Yield every cell with its row, and every scene."""
    for row in summary.rows:
        for cell, scene in itertools.product(row.cells, summary.scenes):
            yield row, cell, scene


def command(summary: Summary, cell: Cell, scene: str) -> str | None:
    """Return the command that fuses a scene as a cell does; None where no recipe says how."""
    if not cell.recipe or objects_of(cell):
        return None
    line = summary.lines.get((cell.key, scene), {})
    suffix = Path(line.get("image", "fused.png")).suffix
    recipe = summary.folder / "cells" / f"{cell.key}.json"
    words = ["fusionkit", "run", *summary.study.scenes[scene], "-o", f"fused{suffix}"]
    return shlex.join([*words, "--recipe", str(recipe)])


def made_without(row: Row) -> str:
    """Say how a row comes about that no command makes."""
    objects = objects_of(row.cells[0])
    if objects:
        return f"Made from Python, with an object: {', '.join(objects)}. No command makes it."
    return f"The trivial fusion {row.key}, of fusionkit evaluate --baselines; no recipe makes it."


def objects_of(cell: Cell) -> list[str]:
    """Return the components of a cell that were given as objects, which no command can name."""
    tables = [table for table in cell.recipe.values() if isinstance(table, Mapping)]
    names = [str(table.get("name", "")) for table in tables]
    return [name for name in names if name.startswith(f"{GIVEN}:")]


def seed_words(row: Row, cell: Cell) -> str:
    """Return the seed of a cell in words, where its row has several."""
    return f", seed {cell.seed}" if len(row.cells) > 1 else ""


def overview(summary: Summary) -> str:
    """Say in a sentence what was run."""
    study = summary.study
    said = seeds_words(summary)
    return (
        f"{number_of(len(summary.rows), 'row')} on {number_of(len(study.scenes), 'scene')}{said}, "
        f"{number_of(len(study.metrics), 'metric')}; {len(summary.lines)} of "
        f"{number_of(summary.cells, 'cell')} done."
    )


def seeds_words(summary: Summary) -> str:
    """Return the seeds in words, after a comma; empty for one."""
    seeds = summary.seeds
    return f", {len(seeds)} seeds ({', '.join(map(str, seeds))})" if len(seeds) > 1 else ""


def test_words(summary: Summary, mark: str) -> str:
    """Say when a difference is marked; empty where nothing is compared."""
    count = len(summary.compared)
    if not count:
        return ""
    fewest = min(difference.scenes for difference in summary.compared)
    said = f"{mark}: {criterion(count)}"
    if fewest < least_scenes(count):
        said += (
            f"; there are {fewest}" if fewest == len(summary.scenes) else f"; some have {fewest}"
        )
    return said + "."


def twin_words(summary: Summary) -> str:
    """Say which rows have the same images as another; empty where none has."""
    found = [
        f"{one_line(row.label)} has the same images as {one_line(summary.rows[twin].label)}"
        for row, twin in zip(summary.rows, summary.twins, strict=True)
        if twin is not None
    ]
    if len(found) > 3:
        found = [f"{len(found)} rows have the same images as another, which the report names"]
    return f"{'; '.join(found)}: counted once." if found else ""


def departure_words(flags: Mapping[str, tuple[Any, Any]]) -> str:
    """Write in what a recipe differs from the reference's."""
    return ", ".join(
        f"{flag} {shown(mine)}, not {shown(its)}" for flag, (mine, its) in flags.items()
    )


def own_words(own: Mapping[str, Any]) -> str:
    """Write the options that the reference does not have."""
    return ", ".join(f"{flag} {shown(value)}" for flag, value in own.items())


def departing(summary: Summary) -> list[tuple[Row, Departure]]:
    """Return the rows that differ from the reference in more than the study is about."""
    pairs = zip(summary.rows, summary.departures, strict=True)
    return [(row, found) for row, found in pairs if found is not None and found.others]


def warnings_of(summary: Summary) -> list[str]:
    """Return what a reader must know before the numbers."""
    said = []
    if summary.missing:
        said.append(
            f"{number_of(summary.missing, 'cell')} of {summary.cells} missing: the study is not "
            "finished. Means are over the scenes that are done, and differ in them."
        )
    if summary.ranks and summary.ranked_scenes < len(summary.scenes):
        said.append(f"Ranks are over the {number_of(summary.ranked_scenes, 'scene')} of all rows.")
    if len(summary.rows) > 1 and not summary.compared and any(map(any, summary.differences)):
        said.append("There is no interval of a difference over one scene.")
    rows = departing(summary)
    if rows:
        about = ", ".join(summary.study.axes) or "nothing"
        flags = list(dict.fromkeys(flag for _, found in rows for flag in found.others))
        label = summary.rows[summary.reference].label
        said.append(
            f"{number_of(len(rows), 'row')} differ{'s' if len(rows) == 1 else ''} from "
            f"{one_line(label)} in more than the axes of the study ({about}): in "
            f"{', '.join(flags)}. That is compared, too: the report lists what differs; "
            "--match-options, or an option given for all of them, makes it equal."
        )
    if summary.foreign:
        said.append(
            f"{number_of(summary.foreign, 'result')} left out: of rows no longer in the study, or "
            "made of other sources, by other code or other weights."
        )
    if summary.damaged:
        said.append(
            f"{number_of(summary.damaged, 'line')} of results.jsonl left out: damaged, or of an "
            "earlier version."
        )
    if summary.problems:
        said.append(f"{number_of(len(summary.problems), 'value')} could not be measured.")
    return said


def cost(name: str, value: float) -> str:
    """Write a cost, or ``-`` where there is none."""
    if math.isnan(value):
        return "-"
    text = f"{value:.2f}" if name == "seconds" and value < 10 else f"{value:.1f}"
    return text.removesuffix(".0")


def difference_words(difference: Difference) -> str:
    """Write a difference with its interval, which one scene does not give."""
    if difference.scenes < 2:
        return f"{difference.mean:+.3f}"
    return f"{difference.mean:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"


def role_title(role: str) -> str:
    """Return the title of the rows of a role."""
    return ROLES.get(role, f"Baseline: {role}")


def _means(summary: Summary) -> str:
    titles = [measure.title for measure in summary.measures]
    ranks = [f"{name} ↓" for name in summary.ranks]
    header = ["row", "role", "scenes", *titles, *ranks, *COST_TITLES.values()]
    table = [header, ["---"] * len(header)]
    means, costs, spread = summary.scores.mean(), summary.mean_costs(), summary.seed_deviation
    for place, row in enumerate(summary.rows):
        line = [_labelled(summary, place), _escaped(row.role)]
        line.append(f"{summary.done(row)}/{len(summary.scenes)}")
        for n in range(len(titles)):
            seeds = "" if math.isnan(spread[place, n]) else f" ± {number(spread[place, n])}"
            line.append(number(means[place, n]) + seeds)
        line += [f"{values[place]:.2f}" for values in summary.ranks.values()]
        table.append([*line, *(cost(name, costs[place, n]) for n, name in enumerate(COSTS))])
    note = "\n\n± is the standard deviation over seeds." if len(summary.seeds) > 1 else ""
    return _table(table) + note


def _labelled(summary: Summary, place: int) -> str:
    """Return the label of a row, with whose images it has if they are another's."""
    twin = summary.twins[place]
    same = "" if twin is None else f" (same images as {_escaped(summary.rows[twin].label)})"
    return _escaped(summary.rows[place].label) + same


def _differences(summary: Summary) -> str:
    header = ["row", *(measure.title for measure in summary.measures)]
    table = [header, ["---"] * len(header)]
    for place, found in enumerate(summary.differences):
        if place != summary.reference:
            table.append([_labelled(summary, place), *map(_difference, found)])
    return _table(table)


def _departures(summary: Summary) -> list[str]:
    """Return the part on what rows differ in from the reference."""
    label = _escaped(summary.rows[summary.reference].label)
    table = [["row", "by the study", "beside it", "options of its own"], ["---"] * 4]
    for row, found in zip(summary.rows, summary.departures, strict=True):
        if found is not None and (found.named or found.others or found.own):
            others = departure_words(found.others)
            words = [departure_words(found.named), others, own_words(found.own)]
            cells = [_escaped(text) or "-" for text in words]
            table.append(
                [_escaped(row.label), cells[0], f"**{cells[1]}**" if others else "-", cells[2]]
            )
    return ["## What differs", f"From {label}.", _table(table)] if len(table) > 2 else []


def _difference(difference: Difference | None) -> str:
    if difference is None:
        return "-"
    text = difference_words(difference)
    return f"**{text}**" if difference.stands_out else text


def _conventions(summary: Summary) -> str:
    words = {True: "higher is better", False: "lower is better", None: "not installed here"}
    return "\n".join(
        f"- {_escaped(m.name)}: {words[m.higher_is_better]}"
        + (f"; {_escaped(m.convention)}" if m.convention else "")
        for m in summary.measures
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _fenced(text: str) -> str:
    # A fence is longer than any run of backticks in what it holds.
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}sh\n{text}\n{fence}"


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is: labels and scene names may hold anything."""
    return re.sub(r"([\\`*_\[\]<>|&#~])", r"\\\1", one_line(text))


def one_line(text: str) -> str:
    """Return text in one line, which may not steer a terminal either."""
    return " ".join("".join(ch if ch.isprintable() else " " for ch in text).split())
