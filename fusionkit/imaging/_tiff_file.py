"""The structure of a TIFF file: its directories and their typed fields (TIFF 6.0, 2; BigTIFF).

Only what is asked for is looked at, and that strictly: a field that decides pixels is right or
the file is damaged, while a strange private field is nobody's business.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fusionkit.imaging._raw import Raw
from fusionkit.imaging._tags import WIDTHS, Tag

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""Little and big byte order; the last two are BigTIFF."""

# The field types that are integers, as dtypes.
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 6: "i1", 8: "i2", 9: "i4", 13: "u4", 16: "u8", 17: "i8"}
_INTEGERS |= {18: "u8"}
_FRACTIONS = (5, 10)  # two integers each
_LONG = {16: 4, 17: 9, 18: 4}


@dataclass(frozen=True)
class _Field:
    kind: int
    count: int
    at: int
    """Where the entry holds its value, or the offset of it."""


@dataclass(frozen=True)
class Directory:
    """One image file directory: the fields that describe one image."""

    raw: Raw
    order: Literal["<", ">"]
    """Byte order as NumPy and struct write it, "<" or ">"."""
    big: bool
    fields: Mapping[int, _Field]
    repeated: frozenset[int]
    """Codes that stand more than once."""

    def __contains__(self, code: int) -> bool:
        """Whether there is a field of this code."""
        return code in self.fields

    def integers(self, code: int) -> tuple[int, ...] | None:
        """Return the values of an integer field, or None where it is missing."""
        field = self._field(code)
        if field is None:
            return None
        if field.kind not in _INTEGERS:
            raise self._broken(code)
        return tuple(
            np.frombuffer(self._value(code, field), self.order + _INTEGERS[field.kind]).tolist()
        )

    def integer(self, code: int, default: int | None = None) -> int:
        """Return the only value of an integer field; without a default it must be there."""
        values = self.integers(code)
        if values is None and default is not None:
            return default
        if values is None or len(values) != 1:
            raise self._broken(code)
        return values[0]

    def octets(self, code: int) -> bytes | None:
        """Return the value of a field of bytes or text, or None where it is missing."""
        field = self._field(code)
        if field is None:
            return None
        if WIDTHS.get(field.kind) != 1:
            raise self._broken(code)
        return self._value(code, field)

    def tag(self, code: int) -> Tag | None:
        """Return a field of any known type as it is, or None where there is nothing in it."""
        field = self._field(code)
        if field is None or field.kind not in WIDTHS or field.count == 0:
            return None
        kind, data = field.kind, self._value(code, field)
        width = WIDTHS[kind] // 2 if kind in _FRACTIONS else WIDTHS[kind]
        if self.order == ">":
            data = np.frombuffer(data, f">u{width}").astype(f"<u{width}").tobytes()
        if kind in _LONG:  # what has 64 bits in BigTIFF alone
            kind, data = _LONG[kind], np.frombuffer(data, "<u8").astype("<u4").tobytes()
        return Tag(kind, data)

    def below(self, code: int) -> Directory | None:
        """Return the directory that a field points at, or None where it is missing."""
        start = self.integer(code, 0)
        return _directory(self.raw, self.order, self.big, start)[0] if start else None

    def _field(self, code: int) -> _Field | None:
        if code in self.repeated:
            raise self._broken(code)
        return self.fields.get(code)

    def _value(self, code: int, field: _Field) -> bytes:
        size = WIDTHS[field.kind] * field.count
        inline = 8 if self.big else 4
        start = field.at
        if size > inline:
            (start,) = struct.unpack_from(
                self.order + ("Q" if self.big else "I"), self.raw.data, start
            )
        if field.count == 0 or start + size > len(self.raw.data):
            raise self._broken(code)
        return self.raw.data[start : start + size]

    def _broken(self, code: int) -> Exception:
        return self.raw.damaged("TIFF", f"its field {code} is missing or broken")


def read_directories(raw: Raw) -> list[Directory]:
    """Follow the list of pages of a TIFF file to its end.

    Raises
    ------
    ImageError
        If the list leaves the file or leads round in a circle, so that pages are missing.
    """
    order, big, start = _header(raw)
    directories: list[Directory] = []
    seen: set[int] = set()
    taken = 0
    while start:
        if start in seen:
            raise raw.damaged("TIFF", "its list of pages leads round in a circle")
        seen.add(start)
        page, start, size = _directory(raw, order, big, start)
        taken += size
        if taken > len(raw.data):
            raise raw.damaged("TIFF", "its pages overlap")
        directories.append(page)
    return directories


def first_directory(raw: Raw) -> tuple[Directory, int]:
    """Return the first page of a TIFF file, and the offset of the next, 0 for none."""
    if not raw.data.startswith(SIGNATURES):
        raise raw.damaged("TIFF", "it does not begin like one")
    return _directory(raw, *_header(raw))[:2]


def _header(raw: Raw) -> tuple[Literal["<", ">"], bool, int]:
    """Return byte order, whether it is BigTIFF, and the offset of the first page."""
    order: Literal["<", ">"] = "<" if raw.data[:2] == b"II" else ">"
    big = raw.data[2:4] in (b"+\0", b"\0+")
    return order, big, _offset(raw, order, big, 8 if big else 4)


def _directory(
    raw: Raw, order: Literal["<", ">"], big: bool, start: int
) -> tuple[Directory, int, int]:
    """Read the directory at an offset; return the offset of the next and its bytes too."""
    count_type = order + ("Q" if big else "H")
    entry = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
    if start + struct.calcsize(count_type) > len(raw.data):
        raise raw.damaged("TIFF", "its list of pages leads out of the file")
    (count,) = struct.unpack_from(count_type, raw.data, start)
    start += struct.calcsize(count_type)
    end = start + count * entry.size
    if end > len(raw.data):
        raise raw.damaged("TIFF", "its list of pages leads out of the file")
    fields: dict[int, _Field] = {}
    repeated: set[int] = set()
    for number, (code, kind, values, _) in enumerate(entry.iter_unpack(raw.data[start:end])):
        if code in fields:
            repeated.add(code)
        value_at = start + (number + 1) * entry.size - (8 if big else 4)
        fields[code] = _Field(kind, values, value_at)
    page = Directory(raw, order, big, fields, frozenset(repeated))
    return page, _offset(raw, order, big, end), end - start


def _offset(raw: Raw, order: str, big: bool, at: int) -> int:
    if at + (8 if big else 4) > len(raw.data):
        raise raw.damaged("TIFF")
    return int(struct.unpack_from(order + ("Q" if big else "I"), raw.data, at)[0])
