"""Running ``fusionkit bench quality`` in a test."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from fusionkit.cli import main

QUICK = """\
steps = 1
start-sigma = 0.34
[estimator]
name = "{estimator}"
[weighting]
name = "fixed"
[objective]
name = "mse"
"""


def bench(folder: Path, *arguments: str) -> tuple[int, dict]:
    """Run the command; return its exit code and what it wrote, tables by title."""
    code = main(["bench", "quality", "-o", str(folder), "--quiet", *map(str, arguments)])
    content = json.loads((folder / "quality.json").read_text())
    return code, {table["title"]: table for table in content["tables"]}


def mean(table: dict, method: str, column: str) -> float:
    return table["methods"][method]["mean"][column]


def missing_tools(monkeypatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "cv2", None)
