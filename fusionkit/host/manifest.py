"""Manifests: tables of scenes as spreadsheets write them, in any of their dialects."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..contract.options import suggest
from ..errors import UsageError
from .listing import composed
from .remote import is_url

PARQUET = ".parquet"
SUFFIXES = (".csv", ".tsv", PARQUET)
OUTPUT = "output"
"""The column that says where results go."""

_DELIMITERS = ",;\t"
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True)
class Row:
    """What a manifest says of one scene.

    Attributes
    ----------
    where
        The file and the line, as messages name them.
    sources
        Their paths.
    output
        Where its result goes in the folder of results; empty for its name.
    options
        By name, as the manifest writes them: ``weighting.window``, ``noise``.
    folder
        That the manifest is in.
    """

    where: str
    sources: tuple[Path, ...]
    output: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path()


@dataclass(frozen=True)
class Cells:
    """A line of a table: what its number is called, and its cells; of lists, several texts."""

    place: str
    cells: Sequence[str | list[str]]


def read_manifest(
    manifest: Path,
    options: Collection[str] = (),
    elsewhere: Callable[[str], Path | None] = lambda cell: None,
    flags: Collection[str] = (),
) -> tuple[dict[str, Row], dict[str, str]]:
    """Read a manifest: under a header line, a scene's name and its sources, one scene a line.

    Columns are separated by commas, semicolons or tabs, or as a line ``sep=;`` above the header
    says; text is UTF-8 or UTF-16. Sources are relative to the file, and may be written with the
    backslashes of Windows. A file ``.parquet`` has the same columns; one of lists may hold
    several sources.

    Parameters
    ----------
    manifest
        The file.
    options
        What a column besides ``output`` may be called that holds no sources. A column of such a
        name whose first cell is a file, such as ``depth``, is one of sources nevertheless.
    elsewhere
        Returns where a source is that a cell names by a URL; None for any other cell.
    flags
        What no column may be called unless it holds files: flags that are not of one scene.

    Returns
    -------
    rows, problems
        By name, and name to why it is no scene.

    Raises
    ------
    UsageError
        It cannot be read, has no header line of two columns or more, or nothing under it; or a
        column is called nearly as an option, or as a flag, and holds no file.
    """
    parquet = manifest.suffix.lower() == PARQUET
    lines = [line for line in (_parquet if parquet else _rows)(manifest) if any(line.cells)]
    header = [str(cell) for cell in lines[0].cells] if lines else []
    if len(header) < 2:
        raise UsageError(
            f"manifest {manifest}: expected a header line first, of columns separated by commas, "
            "semicolons or tabs: scene,first,second"
        )
    place_of = partial(_source, manifest, elsewhere)
    if any(_names_file(place_of, cell) for cell in header[1:] if cell):
        raise UsageError(
            f"manifest {manifest}: the first line names files, and is to be a header: put one "
            "above it, for example scene,first,second"
        )
    if len(lines) == 1:
        raise UsageError(f"manifest {manifest}: there is no scene under its header line")
    kinds = _kinds(manifest, header, lines[1:], options, flags, place_of)
    rows: dict[str, Row] = {}
    problems: dict[str, str] = {}
    for line in lines[1:]:
        name = composed(str(line.cells[0]))
        row = _row(manifest, line, header, kinds, place_of)
        if name in rows or name in problems:
            problems[name] = f"{row.where}: this scene is named twice"
        elif not name or not row.sources:
            problems[name or row.where] = f"{row.where}: expected a name, then sources"
        else:
            rows[name] = row
    return {name: row for name, row in rows.items() if name not in problems}, problems


def _kinds(
    manifest: Path,
    header: Sequence[str],
    lines: Sequence[Cells],
    options: Collection[str],
    flags: Collection[str],
    place_of: Callable[[str], Path],
) -> list[str]:
    """Return what each column holds after the first: ``sources``, ``output`` or ``option``."""
    groups = {option.partition(".")[0] for option in options if "." in option}

    def holds_file(place: int, most: int | None = None) -> bool:
        cells = (text for line in lines[:most] for text in _texts(line, place))
        return any(_names_file(place_of, text) for text in cells)

    kinds: list[str] = []
    named: set[str] = set()
    for place, title in enumerate(header[1:], 1):
        if title.casefold() == OUTPUT:
            kinds.append(OUTPUT)
        elif title in options and (title == "recipe" or "." in title or not holds_file(place, 1)):
            kinds.append("option")
        else:
            if title in flags and not holds_file(place):
                raise UsageError(
                    f"manifest {manifest}, column {title}: this is no option of a scene, and it "
                    f"holds no file: give --{title} to the command, and leave the column out"
                )
            near = suggest(title, options) if title else ""
            if (near or title.partition(".")[0] in groups) and not holds_file(place):
                raise UsageError(
                    f"manifest {manifest}, column {title}: there is no such option, and it holds "
                    f"no file.{near}"
                )
            kinds.append("sources")
        said = title.casefold() if kinds[-1] == OUTPUT else title
        if kinds[-1] != "sources" and said in named:
            raise UsageError(f"manifest {manifest}: there are two columns {title}: keep one")
        named.add(said)
    return kinds


def _row(
    manifest: Path,
    line: Cells,
    header: Sequence[str],
    kinds: Sequence[str],
    place_of: Callable[[str], Path],
) -> Row:
    sources: list[Path] = []
    said: dict[str, str] = {}
    output = ""
    for place, kind in enumerate(kinds, 1):
        texts = _texts(line, place)
        if kind == "sources":
            sources += [place_of(text) for text in texts]
        elif kind == OUTPUT:
            output = composed("".join(texts[:1]).replace("\\", "/"))
        elif texts:
            said[header[place]] = ",".join(texts)
    # Cells beyond the header are sources, too: a stack may be longer than its title says.
    for place in range(len(header), len(line.cells)):
        sources += [place_of(text) for text in _texts(line, place)]
    return Row(f"manifest {manifest}, {line.place}", tuple(sources), output, said, manifest.parent)


def _texts(line: Cells, place: int) -> list[str]:
    """Return what a cell holds: nothing, a text, or several."""
    cell = line.cells[place] if place < len(line.cells) else ""
    return [cell] if isinstance(cell, str) and cell else list(cell)


def _parquet(manifest: Path) -> list[Cells]:
    """Return the rows of a Parquet file, the names of its columns first."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise UsageError(
            f"manifest {manifest}: Parquet takes the package pyarrow: pip install pyarrow, or "
            "save it as CSV"
        ) from None
    try:
        table = parquet.read_table(manifest)
    except FileNotFoundError:
        raise UsageError(f"manifest {manifest} does not exist") from None
    except (OSError, ArrowException) as error:
        raise UsageError(f"manifest {manifest} cannot be read: {error}") from None
    columns = [table.column(name).to_pylist() for name in table.column_names]
    rows = [Cells("header", table.column_names)]
    for number, values in enumerate(zip(*columns, strict=True), 1):
        rows.append(Cells(f"row {number}", [_as_text(value) for value in values]))
    return rows


def _as_text(value: Any) -> str | list[str]:
    """Write a value as a cell of a CSV would have it."""
    if isinstance(value, list):
        return [str(_as_text(each)) for each in value]
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # pandas has whole numbers as floats where some are missing
    return str(value).strip()


def _rows(manifest: Path) -> list[Cells]:
    """Return every row, called by the number of the line that it ends on."""
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
        return [Cells(f"line {reader.line_num}", [cell.strip() for cell in row]) for row in reader]
    except (csv.Error, StopIteration) as error:
        raise UsageError(f"manifest {manifest} cannot be read: {error or 'it is empty'}") from None


def _names_file(place_of: Callable[[str], Path], cell: str) -> bool:
    return is_url(cell) or place_of(cell).is_file()


def _source(manifest: Path, elsewhere: Callable[[str], Path | None], cell: str) -> Path:
    """Return where a source is; backslashes separate folders if no file is called so."""
    if (place := elsewhere(cell)) is not None:
        return place
    path = manifest.parent / cell
    if "\\" in cell and not path.exists():
        return manifest.parent / cell.replace("\\", "/")
    return path
