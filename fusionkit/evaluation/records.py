"""A small table of records: what a study returns, for a notebook, a paper or another program."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..imaging import atomic_write, write_text
from ..imaging.files import as_cell
from .report.latex import escaped as in_latex
from .report.texts import one_line

if TYPE_CHECKING:
    from pandas import DataFrame

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Records:
    """Records with the same fields, in order, and what a reader must know of them.

    Attributes
    ----------
    title
        What they are, in one line.
    records
        Values by field: texts, numbers, true and false; NaN or None where there is none.
    notes
        A sentence each: of how many scenes, tested how.
    marked
        The records that stand out, by place: bold, where there is bold.
    """

    title: str
    records: Sequence[Record]
    notes: Sequence[str] = ()
    marked: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __getitem__(self, place: int) -> Record:
        return self.records[place]

    def __str__(self) -> str:
        lines = [list(self.fields), *self._texts()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, "", *table, "", *self.notes])

    __repr__ = __str__

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields."""
        return tuple(self.records[0]) if self.records else ()

    def to_pandas(self) -> DataFrame:
        """Return them as a data frame; pandas is imported only here.

        Raises
        ------
        UsageError
            pandas is not installed.
        """
        return pandas().DataFrame(list(self.records), columns=list(self.fields))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write them, by the extension: ``.csv``, ``.md``, ``.tex``, ``.html`` or ``.parquet``.

        Raises
        ------
        UsageError
            The extension is another, a folder is not there, or what it needs is not installed.
        """
        write_by_suffix(
            path,
            {
                ".csv": self._as_csv,
                ".md": self._as_markdown,
                ".tex": self._as_latex,
                ".html": lambda: as_page(self.title, self._repr_html_()),
            },
            self.records,
        )

    def _texts(self) -> list[list[str]]:
        return [[one_line(shown(value)) for value in record.values()] for record in self.records]

    def _as_csv(self) -> str:
        return as_csv(self.records)

    def _as_markdown(self) -> str:
        lines = [list(self.fields), ["---"] * len(self.fields)]
        for place, cells in enumerate(self._texts()):
            safe = [cell.replace("|", "&#124;") for cell in cells]
            lines.append([f"**{cell}**" for cell in safe] if place in self.marked else safe)
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return "\n\n".join([f"## {self.title}", table, *self.notes]) + "\n"

    def _as_latex(self) -> str:
        numbers = [
            all(isinstance(record[field], (int, float)) for record in self.records)
            for field in self.fields
        ]
        lines = [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{in_latex(' '.join([f'{self.title}.', *self.notes]))}}}",
            rf"\begin{{tabular}}{{{''.join('r' if each else 'l' for each in numbers)}}}",
            r"\toprule",
            " & ".join(map(in_latex, self.fields)) + r" \\",
            r"\midrule",
        ]
        for place, cells in enumerate(self._texts()):
            signed = [
                ("--" if cell == "-" else cell.replace("-", "$-$")) if number else in_latex(cell)
                for cell, number in zip(cells, numbers, strict=True)
            ]
            bold = [rf"\textbf{{{cell}}}" for cell in signed] if place in self.marked else signed
            lines.append(" & ".join(bold) + r" \\")
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"

    def _repr_html_(self) -> str:
        """Return the table as a notebook shows it."""
        heads = "".join(f"<th>{escape(field)}</th>" for field in self.fields)
        rows = ""
        for place, cells in enumerate(self._texts()):
            style = ' style="font-weight:bold"' if place in self.marked else ""
            rows += f"<tr{style}>" + "".join(f"<td>{escape(c)}</td>" for c in cells) + "</tr>"
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return (
            f"<table><caption>{escape(self.title)}</caption>"
            f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{notes}"
        )


def shown(value: Any) -> str:
    """Write a value of a record for people."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def as_csv(records: Sequence[Record]) -> str:
    """Return records as CSV, numbers with all their digits, empty where there is none."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(list(records[0]) if records else [])
    for record in records:
        writer.writerow([_cell(value) for value in record.values()])
    return buffer.getvalue()


def as_page(title: str, body: str) -> str:
    """Return a whole page of HTML, with nothing from the network."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title>"
        "<style>body{font:16px/1.5 system-ui,sans-serif;margin:2em}"
        "table{border-collapse:collapse}td,th{padding:.2em .7em;border-bottom:1px solid #ccc;"
        "text-align:left}caption{text-align:left;font-weight:bold}</style></head>"
        f"<body>{body}</body></html>\n"
    )


def write_by_suffix(
    path: str | os.PathLike[str], writers: Mapping[str, Any], records: Sequence[Record]
) -> None:
    """Write what the extension of a path asks for; records themselves as ``.parquet``.

    Raises
    ------
    UsageError
        The extension is another, a folder is not there, or what it needs is not installed.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix == ".parquet":
        _write_parquet(target, records)
    elif suffix in writers:
        write_text(target, writers[suffix](), overwrite=True)
    else:
        known = ", ".join([*writers, ".parquet"])
        raise UsageError(f"{target}: say by its extension what it is to be: {known}")


def pandas() -> Any:
    """Import pandas; raise UsageError that says how to install it."""
    try:
        import pandas as imported
    except ImportError:
        raise UsageError(
            "a data frame needs pandas, which is not installed: pip install pandas"
        ) from None
    return imported


def _write_parquet(target: Path, records: Sequence[Record]) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UsageError(
            f"{target}: Parquet needs pyarrow, which is not installed: pip install pyarrow"
        ) from None
    table = pyarrow.Table.from_pylist([dict(each) for each in records])
    with atomic_write(target, overwrite=True) as file:
        parquet.write_table(table, file)


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return as_cell(value) if isinstance(value, str) else repr(value)
