"""What was found, as a page in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SUMMARY = "summary.md"

Row = Mapping[str, Any]


def failures(rows: Sequence[Row]) -> list[Row]:
    """Return the checks that failed, and the stages that did not end as they should."""
    return [
        row
        for row in rows
        if row.get("passed") is False or row.get("ended", "").startswith(("failed", "did not"))
    ]


def summary(rows: Sequence[Row]) -> str:
    """Return the page: stages, checks, timings, trainings, as far as there are any."""
    ended = [row for row in rows if "ended" in row and "what" not in row]
    found = [row for row in rows if "what" in row]
    parts = [
        "# On a GPU",
        *_table("Stages", ended),
        *_checks([row for row in found if "passed" in row]),
    ]
    others = [row for row in found if "passed" not in row]
    for stage, what in dict.fromkeys((row["stage"], row["what"]) for row in others):
        chosen = [row for row in others if (row["stage"], row["what"]) == (stage, what)]
        plain = [{key: row[key] for key in row if key not in ("stage", "what")} for row in chosen]
        parts += _table(f"{stage}: {what}", plain)
    return "\n".join(parts) + "\n"


def _checks(rows: Sequence[Row]) -> list[str]:
    """Count the checks by what was compared, and list those that failed."""
    if not rows:
        return []
    counts = []
    for what in dict.fromkeys(row["what"] for row in rows):
        chosen = [row for row in rows if row["what"] == what]
        worst = {
            key: max(row[key] for row in chosen if key in row)
            for key in ("largest", "levels")
            if any(key in row for row in chosen)
        }
        passed = sum(row["passed"] for row in chosen)
        counts.append({"what": what, "passed": f"{passed} of {len(chosen)}", **worst})
    failed = [row for row in rows if not row["passed"]]
    return [*_table("Checks", counts), *(_table("Checks that failed", failed) if failed else [])]


def _table(title: str, rows: Sequence[Row]) -> list[str]:
    """Return a table of all that any row has."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---" for _ in columns]]
    lines += [[_text(row.get(key, "")) for key in columns] for row in rows]
    return ["", f"## {title}", "", *(f"| {' | '.join(line)} |" for line in lines)]


def _text(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "/").replace("\n", " ")
