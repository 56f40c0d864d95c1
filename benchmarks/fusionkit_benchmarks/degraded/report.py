"""Tables of what was measured, in Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from fusionkit import number_of

from .measure import Outcome
from .scenes import DEGRADATIONS


def write(folder: Path, outcomes: Sequence[Outcome], settings: dict[str, Any]) -> None:
    """Write degraded.md and degraded.json into a folder."""
    told = {"settings": settings, "outcomes": [one.as_mapping() for one in outcomes]}
    (folder / "degraded.json").write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    (folder / "degraded.md").write_text(as_markdown(outcomes, settings), "utf-8")


def as_markdown(outcomes: Sequence[Outcome], settings: dict[str, Any]) -> str:
    """Return a table for every degradation: means over pairs, and by group the PSNR."""
    pairs = list(dict.fromkeys(one.pair for one in outcomes))
    groups = list(dict.fromkeys(one.group for one in outcomes))
    lines = [
        "# Degraded sources",
        "",
        f"{number_of(len(pairs), 'pair')} of {settings['size']} pixels; the first source is "
        "degraded, the other clean. PSNR (dB) and SSIM of the restored source; PSNR of the fused "
        "image against the fusion of clean sources. Wiener, Richardson-Lucy and non-local means "
        "are given the setting that is nearest to the truth, image by image.",
    ]
    for kind in dict.fromkeys(one.kind for one in outcomes):
        of_kind = [one for one in outcomes if one.kind == kind]
        lines += [
            "",
            f"## {kind} (`{DEGRADATIONS[kind]}`)",
            "",
            f"| | PSNR | SSIM | fused | NFE | seconds | {' | '.join(groups)} |",
            f"|---|{'---|' * (5 + len(groups))}",
        ]
        for row in dict.fromkeys(one.row for one in of_kind):
            each = [one for one in of_kind if one.row == row]
            by_group = [fmean(one.psnr for one in each if one.group == group) for group in groups]
            cells = [
                f"{fmean(one.psnr for one in each):.2f}",
                f"{fmean(one.ssim for one in each):.3f}",
                f"{fmean(one.fused for one in each):.2f}",
                f"{fmean(one.nfe for one in each):.3g}",
                f"{fmean(one.seconds for one in each):.2f}",
                *(f"{mean:.2f}" for mean in by_group),
            ]
            lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
