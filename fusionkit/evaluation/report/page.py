"""The page: a template with styles, script and data written into it, so that it is one file."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import dataclass
from html import escape
from importlib import resources
from string import Template
from typing import Any

from ..._version import __version__
from ...contract.counting import number_of
from ..statistics import Difference
from ..tables import number
from . import texts
from .pictures import Gallery, gallery
from .summary import COST_TITLES, COSTS, Measure, Summary

MOST_COLUMNS = 16
"""As many as a screen of 1400 pixels shows side by side, beside the names of the rows."""

SCRIPTS = ("report.js", "plot.js", "scenes.js", "zoom.js")


def page(summary: Summary, scenes: int, stamp: str) -> str:
    """Return the page of a study, with the images of so many scenes at most, and a stamp in it."""
    shown = gallery(summary, scenes)
    # One function around all: the names of the page's script are its own.
    script = "(() => {\n" + "\n".join(_file(name) for name in SCRIPTS) + "})();\n"
    # Only this very script may run: nothing that a label or scene name could smuggle in.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    name = summary.folder.resolve().name
    return Template(_file("report.html")).substitute(
        title=escape(f"Ablation {name}"),
        digest=digest,
        stamp=stamp,
        style=_file("report.css"),
        script=script,
        data=_json(_data(summary, shown)),
        overview=escape(texts.overview(summary)),
        warnings="".join(f'<p class="warning">{escape(w)}</p>' for w in texts.warnings_of(summary)),
        reference=escape(summary.rows[summary.reference].label),
        intervals=escape(texts.INTERVALS),
        seeds="The small ± is the standard deviation over seeds." if _seeded(summary) else "",
        test=escape(texts.test_words(summary, "In bold")),
        tables=_tables(summary),
        departures=_departures(summary),
        conventions=_conventions(summary),
        embedded=escape(_embedded(summary, shown)),
        viewer="" if shown.scenes else "hidden",
        commands=_commands(summary),
        problems=_problems(summary, shown),
        version=escape(__version__),
    )


def _file(name: str) -> str:
    return (resources.files(__package__) / name).read_text("utf-8")


def _json(content: Any) -> str:
    """Return JSON that may stand inside a script element: without anything that could end it."""
    text = json.dumps(_finite(content), separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(content: Any) -> Any:
    """Return the content with None for NaN and infinity, which JSON does not have."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    return [_finite(value) for value in content] if isinstance(content, list) else content


def _data(summary: Summary, shown: Gallery) -> dict[str, Any]:
    means, costs = summary.scores.mean(), summary.mean_costs()
    return {
        "metrics": [
            {"name": measure.name, "higher": measure.higher_is_better}
            for measure in summary.measures
        ],
        "rows": [
            {
                "label": row.label,
                "role": row.role,
                "values": means[place].tolist(),
                "costs": costs[place].tolist(),
            }
            for place, row in enumerate(summary.rows)
        ],
        "commands": {
            scene["name"]: [
                texts.command(summary, cell, scene["name"])
                for row in summary.rows
                for cell in row.cells
                if cell.recipe
            ]
            for scene in shown.scenes
        },
        "scenes": shown.scenes,
    }


@dataclass(frozen=True)
class _Column:
    """A column of the table: its heading, and a cell for each row, as HTML."""

    heading: str
    cells: list[str]


def _tables(summary: Summary) -> str:
    """Return the table of results, cut into several where it has too many columns for a screen."""
    columns = _columns(summary)
    count = -(-len(columns) // MOST_COLUMNS)  # as equal as they can be
    size = -(-len(columns) // count)
    parts = [columns[start : start + size] for start in range(0, len(columns), size)]
    return "\n".join(
        '<div class="wide" tabindex="0" role="region" aria-labelledby="results">\n'
        f"<table>\n{_table(summary, part)}\n</table>\n</div>"
        for part in parts
    )


def _columns(summary: Summary) -> list[_Column]:
    means, costs = summary.scores.mean(), summary.mean_costs()
    found = []
    for n, measure in enumerate(summary.measures):
        cells = []
        for place in range(len(summary.rows)):
            spread = summary.seed_deviation[place, n]
            seeds = "" if math.isnan(spread) else f" <small>± {number(spread)}</small>"
            difference = _difference(summary.differences[place][n], measure)
            cells.append(f"{number(means[place, n])}{seeds}{difference}")
        found.append(_Column(_heading(measure), cells))
    for name, ranks in summary.ranks.items():
        found.append(_Column(escape(f"{name} ↓"), [f"{rank:.2f}" for rank in ranks]))
    for n, name in enumerate(COSTS):
        cells = [texts.cost(name, value) for value in costs[:, n]]
        found.append(_Column(escape(COST_TITLES[name]), cells))
    return found


def _table(summary: Summary, columns: list[_Column]) -> str:
    titles = "".join(f'<th scope="col">{column.heading}</th>' for column in columns)
    parts = [f'<thead><tr><th scope="col">Row</th>{titles}</tr></thead>']
    role = None
    for place, row in enumerate(summary.rows):
        if row.role != role:
            role = row.role
            title = escape(texts.role_title(role))
            parts.append(
                f'<tbody><tr class="role"><th scope="rowgroup" colspan="{len(columns) + 1}">'
                f"<span>{title}</span></th></tr>"
            )
        cells = "".join(f"<td>{column.cells[place]}</td>" for column in columns)
        kind = ' class="reference"' if place == summary.reference else ""
        parts.append(
            f'<tr{kind}><th scope="row"><div>{_head(summary, place)}</div></th>{cells}</tr>'
        )
    return "\n".join(parts)


def _heading(measure: Measure) -> str:
    words = {True: "higher is better", False: "lower is better", None: "direction unknown"}
    hint = escape(f"{measure.name}: {words[measure.higher_is_better]}. {measure.convention}")
    return f'<span title="{hint}">{escape(measure.title)}</span>'


def _head(summary: Summary, place: int) -> str:
    row, twin = summary.rows[place], summary.twins[place]
    notes = ["reference"] if place == summary.reference else []
    if twin is not None:
        notes.append(f"same images as row {twin + 1}")
    if summary.done(row) < len(summary.scenes):
        notes.append(f"{summary.done(row)} of {number_of(len(summary.scenes), 'scene')}")
    note = f"<small>{', '.join(notes)}</small>" if notes else ""
    return f'<span class="n">{place + 1}</span> <span>{escape(row.label)} {note}</span>'


def _difference(difference: Difference | None, measure: Measure) -> str:
    if difference is None:
        return ""
    text = texts.difference_words(difference).replace("-", "\N{MINUS SIGN}")
    mean, _, interval = text.partition(" ")
    words = f'{mean} <span class="interval">{interval}</span>'
    if not difference.stands_out:
        return f'<span class="difference">{words}</span>'
    better = measure.higher_is_better
    side = "" if better is None else " better" if (difference.mean > 0) == better else " worse"
    return f'<strong class="difference{side}">{words}</strong>'


def _departures(summary: Summary) -> str:
    """Return the part on what rows differ in from the reference."""
    rows = []
    for place, (row, found) in enumerate(zip(summary.rows, summary.departures, strict=True)):
        if found is None or not (found.named or found.others or found.own):
            continue
        others = escape(texts.departure_words(found.others))
        cells = [
            escape(texts.departure_words(found.named)),
            f"<strong>{others}</strong>" if others else "",
            escape(texts.own_words(found.own)),
        ]
        head = f'<span class="n">{place + 1}</span> <span>{escape(row.label)}</span>'
        words = "".join(f"<td>{cell or '-'}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row"><div>{head}</div></th>{words}</tr>')
    if not rows:
        return ""
    label = escape(summary.rows[summary.reference].label)
    titles = "".join(
        f'<th scope="col">{title}</th>'
        for title in ("Row", "By the study", "Beside it", "Options of its own")
    )
    return (
        f'<section><h2 id="departures">What differs</h2><p>From <em>{label}</em>.</p>'
        '<div class="wide words" tabindex="0" role="region" aria-labelledby="departures"><table>'
        f"<thead><tr>{titles}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _conventions(summary: Summary) -> str:
    words = {True: "higher is better", False: "lower is better", None: "not installed here"}
    return "".join(
        f"<dt>{escape(m.name)}</dt><dd>{words[m.higher_is_better]}"
        f"{escape('; ' + m.convention if m.convention else '')}</dd>"
        for m in summary.measures
    )


def _commands(summary: Summary) -> str:
    """Return the commands for the first scene; the script puts in those of the chosen one."""
    items = []
    for place, row in enumerate(summary.rows):
        for cell in row.cells:
            made = texts.command(summary, cell, summary.scenes[0])
            title = escape(row.label + texts.seed_words(row, cell))
            name = f'<h3><span class="n">{place + 1}</span> <span>{title}</span></h3>'
            links = f'<a href="images/{escape(cell.key)}/">full-size images</a>'
            if made is None:
                what = f"<p>{escape(texts.made_without(row))}</p>"
            else:
                what = (
                    f'<div class="command"><code tabindex="0">{escape(made)}</code>'
                    f'<button type="button" class="copy" aria-label="Copy the command of {title}">'
                    "Copy</button></div>"
                )
                links += f' · <a href="cells/{escape(cell.key)}.json">recipe</a>'
            items.append(f"<li>{name}{what}<p>{links}</p></li>")
    return "\n".join(items)


def _embedded(summary: Summary, shown: Gallery) -> str:
    count, total = len(shown.scenes), len(summary.scenes)
    if not count:
        return "No scene's images are shown in this page."
    which = "All scenes are shown" if count == total else f"The first {count} of {total} scenes are"
    which += "" if count == total else " shown"
    seeds = ", each row by its first seed" if _seeded(summary) else ""
    return (
        f"{which}{seeds}, reduced to {shown.side} pixels a side at most. "
        "The full-size images are in the folder beside this page."
    )


def _problems(summary: Summary, shown: Gallery) -> str:
    listed = [*summary.problems, *(text for scene in shown.scenes for text in scene["problems"])]
    if not listed:
        return ""
    items = "".join(f"<li>{escape(text)}</li>" for text in listed)
    return f'<section><h2 id="problems">What is missing</h2><ul>{items}</ul></section>'


def _seeded(summary: Summary) -> bool:
    return any(len(row.cells) > 1 for row in summary.rows)
