"""The list of what failed, beside the results: ``failed.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from ..imaging.files import as_cell, write_text
from .stacking import Shard

HEADER = ("scene", "why")


def failures_path(folder: str | Path, shard: Shard | None) -> Path:
    """Return where the list of a folder of results, or of a shard of it, is."""
    suffix = "" if shard is None else f"-{shard.place}-of-{shard.count}"
    return Path(folder) / f"failed{suffix}.csv"


def write_failures(path: Path, problems: Mapping[str, str]) -> bool:
    """Write which scenes failed, and why; remove the list of an earlier run if none did.

    Returns
    -------
    bool
        False if a file of this name is somebody else's, and was left alone.
    """
    try:
        first = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    except FileNotFoundError:
        first = None
    if first not in (None, ",".join(HEADER)):
        return False
    if problems:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = io.StringIO()
        rows = [(as_cell(scene), as_cell(why)) for scene, why in problems.items()]
        csv.writer(text, lineterminator="\n").writerows([HEADER, *rows])
        write_text(path, text.getvalue(), overwrite=True)
    else:
        path.unlink(missing_ok=True)
    return True
