"""Which plugin ends the program that loads it: found out in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from ..host.plugins import installed_plugins

_PROGRAM = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
from fusionkit.host.plugins import installed_plugins, load_plugins
names, files = json.load(sys.stdin)
points = [point for point in installed_plugins() if point.name in names]
sys.stdout = sys.stderr
try:
    load_plugins(entry_points=points, inline=files)
except Exception:
    pass
os.write(1, b"loaded")
"""

_SECONDS = 120


def ends_programs(
    without: Sequence[str] = (), files: Sequence[str] = ()
) -> list[tuple[str, str, int | str]]:
    """Return the plugins that end a program, each with where it is from, and the exit code.

    One more process loads all of them; only if that ends early is each loaded by itself.

    Parameters
    ----------
    without
        Installed plugins that are not loaded.
    files
        Those that are Python files.
    """
    points = {point.name: point.value for point in installed_plugins() if point.name not in without}
    if _ending(list(points), files) is None:
        return []
    alone = [(name, source, _ending([name], [])) for name, source in points.items()]
    alone += [(file, file, _ending([], [file])) for file in files]
    return [(name, source, code) for name, source, code in alone if code is not None]


def _ending(names: Sequence[str], files: Sequence[str]) -> int | str | None:
    """Load plugins in another process; return how that ended, None if they were loaded."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            input=json.dumps([list(names), list(files)]).encode(),
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"none in {_SECONDS} s"
    return None if done.stdout == b"loaded" else done.returncode
