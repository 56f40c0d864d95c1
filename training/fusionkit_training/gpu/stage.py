"""What a stage is given, and how it tells what it finds."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = "results.jsonl"


@dataclass(frozen=True)
class Stage:
    """One stage, in a process of its own.

    Attributes
    ----------
    name
        ``check``, ``speed``, ``compact`` or ``learned``.
    args
        The command line.
    until
        When its time is over, as ``time.time`` tells it.
    """

    name: str
    args: argparse.Namespace
    until: float

    @property
    def device(self) -> str:
        """Where to compute."""
        device: str = self.args.device
        return device

    @property
    def toy(self) -> bool:
        """Whether everything is to be tiny: to try the command, not the machine."""
        toy: bool = self.args.toy
        return toy

    def left(self) -> float:
        """Return the seconds that are left."""
        return self.until - time.time()

    def tell(self, **found: Any) -> None:
        """Add a row to the results, and a line to the log."""
        add_row(self.args.out, {"stage": self.name, **found})
        print(", ".join(f"{key} {_short(value)}" for key, value in found.items()), flush=True)


def add_row(folder: Path, row: dict[str, Any]) -> None:
    """Append a row to the results, complete before anything else can go wrong."""
    with (folder / RESULTS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of the results; a last one that was cut off is left out."""
    file = folder / RESULTS
    lines = file.read_text("utf-8").splitlines(keepends=True) if file.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
