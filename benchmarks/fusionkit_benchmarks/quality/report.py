"""The benchmark as Markdown to read and JSON with every value."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionkit import number_of
from fusionkit._version import __version__
from fusionkit.cli import complain
from fusionkit.evaluation import tables as texts
from fusionkit.evaluation.scores import Scores
from fusionkit.imaging import write_text

from .runner import Cost, Outcome

HEADINGS = {
    "truth": "Against the truth",
    "noise": "Under noise",
    "published": "Published sets",
}


def write(
    folder: Path,
    outcomes: Sequence[Outcome],
    settings: Mapping[str, Any],
    against: str,
    name: str = "quality",
) -> None:
    """Write ``quality.md`` and ``quality.json`` into a folder, replacing earlier ones.

    ``settings`` is what was asked for, JSON-ready; ``against`` the row that differences are
    taken from, in the tables that have it; ``name`` what the files are called.
    """
    shown = as_markdown(outcomes, settings, against, name)
    write_text(folder / f"{name}.md", shown, overwrite=True)
    write_text(folder / f"{name}.json", as_json(outcomes, settings, against), overwrite=True)


def told(folder: Path, outcomes: Sequence[Outcome], name: str = "quality") -> int:
    """Tell what could not be measured, and where the rest is; return the command's exit code."""
    problems = problems_of(outcomes)
    for problem in problems:
        complain(problem, 1)
    print(f"See {folder / f'{name}.md'}, {name}.json and images/ beside it.")
    return 1 if problems else 0


def problems_of(outcomes: Sequence[Outcome]) -> list[str]:
    """Return what could not be fused or measured, of all tables."""
    return [problem for outcome in outcomes for problem in outcome.scores.problems]


def as_markdown(
    outcomes: Sequence[Outcome], settings: Mapping[str, Any], against: str, name: str = "quality"
) -> str:
    """Return the document."""
    lines = [f"# {name.capitalize()}", "", _about(settings, against), ""]
    for kind, heading in HEADINGS.items():
        of_kind = [outcome for outcome in outcomes if outcome.table.kind == kind]
        if of_kind:
            lines += [f"## {heading}", ""]
        for outcome in of_kind:
            lines += [*_table(outcome, against), ""]
    problems = problems_of(outcomes)
    if problems:
        lines += ["## Problems", "", *(f"- {problem}" for problem in problems), ""]
    return "\n".join(lines)


def as_json(outcomes: Sequence[Outcome], settings: Mapping[str, Any], against: str) -> str:
    """Return everything: what was asked for, and each table with its values, costs and parts."""
    return json.dumps(
        {
            "fusionkit": __version__,
            "settings": dict(settings),
            "tables": [_as_dict(outcome, against) for outcome in outcomes],
        },
        indent=1,
        ensure_ascii=False,
    )


def _about(settings: Mapping[str, Any], against: str) -> str:
    said = "; ".join(f"{key} {_text(value)}" for key, value in settings.items() if value)
    return (
        f"fusionkit {__version__}, {platform.machine()}, {said}. Luma, rounded to 8 bits when "
        "fused. Best of a column in bold. Seconds and NFE (images through the noise estimator) "
        "are means per scene, one for each group of columns where they differ. Differences from "
        f"{against}, and of a recipe from its variants, stand below."
    )


def _table(outcome: Outcome, against: str) -> list[str]:
    table, scores = outcome.table, outcome.scores
    counts = {
        part: sum(p == part for p in outcome.parts.values()) for part in ("tuning", "checking")
    }
    scenes = number_of(len(scores.scenes), "scene")
    count = f"{scenes} ({counts['tuning']} tuning, {counts['checking']} checking)"
    lines = [f"### {table.title}", "", f"{table.about} {count}.", ""]
    beside = _costs(outcome)
    lines.append(texts.as_markdown(scores, beside))
    width = len(scores.columns) + len(scores.ranks()) + len(beside)
    for method, why in outcome.missing.items():
        lines.append(f"| {method} | {why} |" + " - |" * (width - 1))
    if counts["tuning"] and counts["checking"]:
        checking = [name for name in scores.scenes if outcome.parts[name] == "checking"]
        part = scores.of_scenes(checking)
        lines += ["", f"Checking scenes only ({len(checking)}):", "", texts.as_markdown(part)]
    if table.parts_of is not None:
        nfe = {"NFE": beside["NFE"]}
        lines += ["", texts.advantages_as_markdown(scores, table.parts_of, nfe)]
    elif against in scores.methods and len(scores.methods) > 1:
        lines += ["", texts.differences_as_markdown(scores, against)]
    return lines


def _costs(outcome: Outcome) -> dict[str, dict[str, str]]:
    seconds = {m: _joined([cost[0] for cost in costs], 2) for m, costs in outcome.costs.items()}
    nfe = {m: _joined([cost[1] for cost in costs], 1) for m, costs in outcome.costs.items()}
    return {"seconds": seconds, "NFE": nfe}


def _joined(values: Sequence[float | None], digits: int) -> str:
    """Write one number, or several with strokes between them where they differ."""
    shown = ["-" if v is None else f"{v:.{digits}f}".rstrip("0").rstrip(".") or "0" for v in values]
    return " / ".join(shown if len(set(shown)) > 1 else shown[:1])


def _as_dict(outcome: Outcome, against: str) -> dict[str, Any]:
    table, scores = outcome.table, outcome.scores
    wanted = table.parts_of or against
    baseline = wanted if wanted in scores.methods else None
    content: dict[str, Any] = json.loads(texts.as_json(scores, baseline))
    for method, costs in outcome.costs.items():
        content["methods"][method]["cost"] = {
            label: _cost(cost) for label, cost in zip(table.groups, costs, strict=True)
        }
    return {
        "kind": table.kind,
        "title": table.title,
        "about": table.about,
        "parts_of": table.parts_of,
        "parts": outcome.parts,
        "missing": outcome.missing,
        "checking": _means(scores, outcome.parts),
        **content,
    }


def _means(scores: Scores, parts: Mapping[str, str]) -> dict[str, dict[str, float | None]]:
    """Return the means over the checking scenes."""
    part = scores.of_scenes([name for name in scores.scenes if parts[name] == "checking"])
    content = json.loads(texts.as_json(part))["methods"]
    return {method: found["mean"] for method, found in content.items()}


def _cost(cost: Cost) -> dict[str, float | None]:
    return {"seconds": cost[0], "nfe": cost[1]}


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple, dict)) else str(value)
