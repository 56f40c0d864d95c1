"""The page: a template with styles, script and data written into it, so that it is one file."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from html import escape
from importlib import resources
from string import Template
from typing import Any

from ..._version import __version__
from ..statistics import Difference
from ..tables import number
from . import texts
from .pictures import Gallery, gallery
from .summary import COST_TITLES, COSTS, Measure, Row, Summary, stands_out

SCRIPTS = ("report.js", "plot.js", "scenes.js", "zoom.js")


def page(summary: Summary, scenes: int) -> str:
    """Return the page of a study, with the images of so many scenes at most."""
    shown = gallery(summary, scenes)
    # One function around all: the names of the page's script are its own.
    script = "(() => {\n" + "\n".join(_file(name) for name in SCRIPTS) + "})();\n"
    # Only this very script may run: nothing that a label or scene name could smuggle in.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    name = summary.folder.resolve().name
    return Template(_file("report.html")).substitute(
        title=escape(f"Ablation {name}"),
        digest=digest,
        style=_file("report.css"),
        script=script,
        data=_json(_data(summary, shown)),
        overview=escape(texts.overview(summary)),
        warnings="".join(f'<p class="warning">{escape(w)}</p>' for w in texts.warnings_of(summary)),
        reference=escape(summary.rows[summary.reference].label),
        intervals=escape(texts.INTERVALS),
        seeds="The small ± is the standard deviation over seeds." if _seeded(summary) else "",
        table=_table(summary),
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


def _table(summary: Summary) -> str:
    ranks = [f"{name} ↓" for name in summary.ranks]
    titles = [_heading(measure) for measure in summary.measures]
    titles += [f'<th scope="col">{escape(title)}</th>' for title in ranks]
    titles += [f'<th scope="col">{escape(title)}</th>' for title in COST_TITLES.values()]
    parts = [f'<thead><tr><th scope="col">Row</th>{"".join(titles)}</tr></thead>']
    differences = summary.differences
    role = None
    for place, row in enumerate(summary.rows):
        if row.role != role:
            role = row.role
            title = escape(texts.role_title(role))
            parts.append(
                f'<tbody><tr class="role"><th scope="rowgroup" colspan="{len(titles) + 1}">'
                f"<span>{title}</span></th></tr>"
            )
        parts.append(_row(summary, place, row, differences[place]))
    return "\n".join(parts)


def _heading(measure: Measure) -> str:
    words = {True: "higher is better", False: "lower is better", None: "direction unknown"}
    hint = escape(f"{measure.name}: {words[measure.higher_is_better]}. {measure.convention}")
    return f'<th scope="col"><span title="{hint}">{escape(measure.title)}</span></th>'


def _row(summary: Summary, place: int, row: Row, found: list[Difference | None]) -> str:
    means, costs = summary.scores.mean()[place], summary.mean_costs()[place]
    cells = []
    for n, measure in enumerate(summary.measures):
        spread = summary.seed_deviation[place, n]
        seeds = "" if math.isnan(spread) else f" <small>± {number(spread)}</small>"
        cells.append(f"<td>{number(means[n])}{seeds}{_difference(found[n], measure)}</td>")
    cells += [f"<td>{ranks[place]:.2f}</td>" for ranks in summary.ranks.values()]
    cells += [f"<td>{texts.cost(name, costs[n])}</td>" for n, name in enumerate(COSTS)]
    notes = ["reference"] if place == summary.reference else []
    if summary.done(row) < len(summary.scenes):
        notes.append(f"{summary.done(row)} of {len(summary.scenes)} scenes")
    note = f"<small>{', '.join(notes)}</small>" if notes else ""
    kind = ' class="reference"' if place == summary.reference else ""
    head = f'<span class="n">{place + 1}</span> <span>{escape(row.label)} {note}</span>'
    return f'<tr{kind}><th scope="row"><div>{head}</div></th>{"".join(cells)}</tr>'


def _difference(difference: Difference | None, measure: Measure) -> str:
    if difference is None:
        return ""
    text = texts.difference_words(difference).replace("-", "\N{MINUS SIGN}")
    mean, _, interval = text.partition(" ")
    words = f'{mean} <span class="interval">{interval}</span>'
    if not stands_out(difference):
        return f'<span class="difference">{words}</span>'
    better = measure.higher_is_better
    side = "" if better is None else " better" if (difference.mean > 0) == better else " worse"
    return f'<strong class="difference{side}">{words}</strong>'


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
