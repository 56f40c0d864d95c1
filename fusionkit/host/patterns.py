"""Patterns of file names such as ``card/**/*.JPG``, where no shell has expanded them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..contract.paths import refuse_url
from ..errors import UsageError
from .listing import natural
from .saving import is_result

_ANY_DEPTH = "**"


def expanded(sources: Sequence[str]) -> list[str]:
    """Expand patterns such as ``card/*.JPG`` where the shell has not, leaving results out.

    As :func:`glob.glob` has them, but that ``**`` comes to each folder once, however many links
    lead there: two folders that hold links to one another are else followed until their names are
    too long.

    Raises
    ------
    UsageError
        Nothing fits a pattern, or a name is empty, or a URL.
    """
    found: list[str] = []
    for source in sources:
        if not source:
            raise UsageError(
                "one of the sources is an empty name: is a variable of the shell unset?"
            )
        refuse_url(source)
        if os.path.lexists(source) or not glob.has_magic(source):
            found.append(source)
            continue
        matches = map(Path, _matching(source))
        fitting = [match for match in sorted(matches, key=natural) if not is_result(match)]
        if not fitting:
            raise UsageError(f"{source}: no file fits this pattern")
        found += map(str, fitting)
    return found


def _matching(pattern: str) -> list[str]:
    pattern = pattern.replace(os.altsep, os.sep) if os.altsep else pattern
    if _ANY_DEPTH not in pattern.split(os.sep):
        return glob.glob(pattern)
    found: dict[tuple[str, str], str] = {}
    for match in _matches(pattern):
        folder, name = os.path.split(match.rstrip(os.sep))
        found.setdefault((os.path.realpath(folder or os.curdir), name), match)
    return [*found.values()]


def _matches(pattern: str) -> Iterator[str]:
    """Yield what a pattern fits; by links after what is there without them."""
    parts = pattern.split(os.sep)
    if _ANY_DEPTH not in parts:
        yield from glob.iglob(pattern)
        return
    place = parts.index(_ANY_DEPTH)
    before, after = parts[:place], _after_any_depth(parts[place + 1 :])
    begin = os.path.join(os.sep.join(before) or os.sep, "") if before else ""
    for start in sorted(glob.iglob(begin)) if glob.has_magic(begin) else [begin]:
        for folder in _walked(start):
            here = glob.escape(folder)
            if after:
                yield from _matches(here + os.sep.join(after))
            else:
                yield from filter(None, (folder, *glob.iglob(f"{here}*")))


def _after_any_depth(parts: list[str]) -> list[str]:
    """Return what follows ``**``, without more of the same, and without doubled separators."""
    last = len(parts) - 1
    first = (n for n, part in enumerate(parts) if part != _ANY_DEPTH and (part or n == last))
    return parts[next(first, len(parts)) :]


def _walked(folder: str) -> Iterator[str]:
    """Yield a folder and all below it, but hidden ones, each once, with a separator at the end.

    Those that links alone lead to come last.
    """
    seen: set[str] = set()
    waiting = [folder]
    for start in waiting:  # which grows
        below = [start]
        while below:
            here = below.pop()
            real = os.path.realpath(here or os.curdir)
            if real in seen or not os.path.isdir(real):
                continue
            seen.add(real)
            yield here
            inner = [os.path.join(here, name, "") for name in _folders_in(here)]
            linked = {path for path in inner if os.path.islink(path.rstrip(os.sep))}
            waiting += [path for path in inner if path in linked]
            below += [path for path in reversed(inner) if path not in linked]


def _folders_in(folder: str) -> list[str]:
    """Return the names of folders in one, of links to some, too; none where it cannot be listed."""
    try:
        names = os.listdir(folder or os.curdir)
    except OSError:
        return []
    shown = (name for name in names if not name.startswith("."))
    folders = (name for name in shown if os.path.isdir(os.path.join(folder, name)))
    return sorted(folders, key=lambda name: natural(Path(name)))
