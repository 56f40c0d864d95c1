"""The table of agreement, in Markdown and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fusionkit import number_of
from fusionkit._version import __version__
from fusionkit.evaluation.measure import TRUTH
from fusionkit.imaging import write_text

from .agreement import Group, mean_lost, overall


def write(folder: Path, groups: Sequence[Group], settings: Mapping[str, Any]) -> str:
    """Write ``trust.md`` and ``trust.json`` into a folder, replacing earlier ones; return it."""
    text = as_markdown(groups, settings)
    write_text(folder / "trust.md", text, overwrite=True)
    content = {
        "fusionkit": __version__,
        "settings": dict(settings),
        "groups": [
            {
                "title": group.title,
                "methods": group.methods,
                "photographs": list(group.photographs),
                "tau": {name: list(map(_value, each)) for name, each in group.tau.items()},
                "lost": {name: list(map(_value, each)) for name, each in group.lost.items()},
            }
            for group in groups
        ],
    }
    write_text(folder / "trust.json", json.dumps(content, indent=1) + "\n", overwrite=True)
    return text


def as_markdown(groups: Sequence[Group], settings: Mapping[str, Any]) -> str:
    """Return a row for every metric, the most trustworthy first; then those that use the truth."""
    names = [name for name in groups[0].tau if _said(groups, name)]
    fusion = [name for name in names if not name.startswith(TRUTH)]
    fusion.sort(key=lambda name: (-_overall(groups, name), name))
    checks = [name for name in names if name.startswith(TRUTH) and name != f"{TRUTH}psnr"]
    counts = ", ".join(f"{group.methods} for {group.title}" for group in groups)
    lines = [
        "# Trust",
        "",
        f"Agreement with the truth's PSNR, Kendall's tau within a scene: 1 is the same order of "
        f"methods, 0 none, -1 the opposite. {number_of(settings['photographs'], 'photograph')}; "
        f"methods: {counts}. All: the mean over the columns with its 95% interval over "
        "photographs. Lost: dB of PSNR by which the result that the metric likes best is worse "
        "than the best one.",
        "",
        f"| metric | {' | '.join(group.title for group in groups)} | all | lost |",
        f"|---{'|---' * (len(groups) + 2)}|",
    ]
    for name in [*fusion, *checks]:
        cells = [_number(group.tau[name]) for group in groups]
        mean = overall(list(groups), name)
        interval = f"{mean.mean:.2f} [{mean.low:.2f}, {mean.high:.2f}]" if mean else "-"
        lost = f"{mean_lost(list(groups), name):.2f}"
        lines.append(f"| `{name}` | {' | '.join(cells)} | {interval} | {lost} |")
    return "\n".join(lines) + "\n"


def _said(groups: Sequence[Group], name: str) -> bool:
    return any(np.isfinite(group.tau[name]).any() for group in groups)


def _overall(groups: Sequence[Group], name: str) -> float:
    mean = overall(list(groups), name)
    return mean.mean if mean else -math.inf


def _number(values: Any) -> str:
    known = values[np.isfinite(values)]
    return f"{known.mean():.2f}" if len(known) else "-"


def _value(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
