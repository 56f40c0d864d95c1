"""Sources, which nothing replaces that is written, by whatever name it reaches them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..contract.paths import split_part
from ..errors import UsageError
from ..imaging.volumes import is_series
from .remote import is_url, shown
from .saving import StrPath, is_record, is_single_result


class Kept:
    """Files that no output may replace, be it by a link; of a series, its slices."""

    def __init__(self, sources: Iterable[StrPath]) -> None:
        self._names: dict[object, str] = {}
        for path in sources:
            name = split_part(path)[0]
            self.add(name, "source")
            for slice_ in _slices(name):
                self.add(slice_, "source")

    def add(self, path: StrPath, what: str) -> None:
        """Keep one more, if it is there."""
        found = _file_id(path)
        if found is not None:
            self._names[found] = f"{what} {_called(path)}"

    def refuse(self, *outputs: StrPath) -> None:
        """Raise UsageError if an output is one of the files, by a link or another spelling too."""
        for output in outputs:
            found = _file_id(output)
            if found is not None and found in self._names:
                raise UsageError(
                    f"{_called(output)}: this is the {self._names[found]}, which no output "
                    "replaces: give another name"
                )


def _slices(name: str) -> list[Path]:
    """Return the files of a folder that is a series, but for results among them and their records.

    Slices that fusionkit made are slices of a source here.
    """
    if is_url(name) or not is_series(name):
        return []
    files = Path(name).iterdir()
    return [path for path in files if not (is_single_result(path) or is_record(path))]


def _called(path: StrPath) -> str:
    """Return what messages call a file: a URL without credentials."""
    return shown(os.fspath(path)) if is_url(path) else os.fspath(path)


def _file_id(path: StrPath) -> object:
    """Return what tells a file from all others, whatever it is called; None if there is none.

    A file at a URL is told by that.

    Of the path that is written to: ``missing/../a.png`` cannot be opened, yet becomes ``a.png``.
    """
    if is_url(path):
        return shown(os.fspath(path))
    try:
        found = os.stat(os.path.realpath(path))
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    return found.st_dev, found.st_ino
