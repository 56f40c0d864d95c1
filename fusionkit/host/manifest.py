"""Manifests: tables of scenes as spreadsheets write them, in any of their dialects."""

from __future__ import annotations

import codecs
import csv
import io
import re
from pathlib import Path

from ..errors import UsageError
from .listing import composed

SUFFIXES = (".csv", ".tsv")
_DELIMITERS = ",;\t"
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_manifest(manifest: Path) -> tuple[dict[str, tuple[Path, ...]], dict[str, str]]:
    """Read a manifest: under a header line, a scene's name and its sources, one scene a line.

    Columns are separated by commas, semicolons or tabs, or as a line ``sep=;`` above the header
    says; text is UTF-8 or UTF-16. Sources are relative to the file, and may be written with the
    backslashes of Windows.

    Returns
    -------
    groups, problems
        Name to paths, and name to why it is no scene.

    Raises
    ------
    UsageError
        It cannot be read, has no header line of two columns or more, or nothing under it.
    """
    lines = [(number, cells) for number, cells in _rows(manifest) if any(cells)]
    header = lines[0][1] if lines else []
    if len(header) < 2:
        raise UsageError(
            f"manifest {manifest}: expected a header line first, of columns separated by commas, "
            "semicolons or tabs: scene,first,second"
        )
    if any(_source(manifest, cell).is_file() for cell in header[1:] if cell):
        raise UsageError(
            f"manifest {manifest}: the first line names files, and is to be a header: put one "
            "above it, for example scene,first,second"
        )
    if len(lines) == 1:
        raise UsageError(f"manifest {manifest}: there is no scene under its header line")
    groups: dict[str, tuple[Path, ...]] = {}
    problems: dict[str, str] = {}
    for number, cells in lines[1:]:
        name = composed(cells[0])
        where = f"manifest {manifest}, line {number}"
        if name in groups or name in problems:
            problems[name] = f"{where}: this scene is named twice"
        elif not name or not any(cells[1:]):
            problems[name or where] = f"{where}: expected a name, then sources"
        else:
            groups[name] = tuple(_source(manifest, cell) for cell in cells[1:] if cell)
    return {name: group for name, group in groups.items() if name not in problems}, problems


def _rows(manifest: Path) -> list[tuple[int, list[str]]]:
    """Return the cells of every row, and the number of the line that it ends on."""
    try:
        data = manifest.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"manifest {manifest} does not exist") from None
    except OSError as error:
        raise UsageError(f"manifest {manifest} cannot be read: {error.strerror}") from None
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise UsageError(
            f"manifest {manifest} is neither UTF-8 nor UTF-16 text: save it as CSV in UTF-8"
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # a spreadsheet of macOS may end so
    first = text.lstrip("\n").partition("\n")[0]
    if "\0" in first:
        raise UsageError(f"manifest {manifest} is UTF-16 without its mark: save it as CSV in UTF-8")
    try:
        if said := re.fullmatch(r'"?sep=([,;\t])["\s,;]*', first):  # Excel's line
            delimiter = said[1]
            text = text.replace(first, "", 1)
        else:
            delimiter = max(
                _DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark)))
            )
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        return [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (csv.Error, StopIteration) as error:
        raise UsageError(f"manifest {manifest} cannot be read: {error or 'it is empty'}") from None


def _source(manifest: Path, cell: str) -> Path:
    """Return where a source is; backslashes separate folders if no file is called so."""
    path = manifest.parent / cell
    if "\\" in cell and not path.exists():
        return manifest.parent / cell.replace("\\", "/")
    return path
