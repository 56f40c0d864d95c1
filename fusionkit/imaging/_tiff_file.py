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

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""Little and big byte order; the last two are BigTIFF."""

# Field types by number: bytes a value, and the integer dtype where they are integers.
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_WIDTHS |= {16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 6: "i1", 8: "i2", 9: "i4", 13: "u4", 16: "u8", 17: "i8"}
_INTEGERS |= {18: "u8"}


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
        if _WIDTHS.get(field.kind) != 1:
            raise self._broken(code)
        return self._value(code, field)

    def _field(self, code: int) -> _Field | None:
        if code in self.repeated:
            raise self._broken(code)
        return self.fields.get(code)

    def _value(self, code: int, field: _Field) -> bytes:
        size = _WIDTHS[field.kind] * field.count
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
    data = raw.data
    order: Literal["<", ">"] = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    offset_type = order + ("Q" if big else "I")
    count_type = order + ("Q" if big else "H")
    entry = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
    offset_size, count_size = struct.calcsize(offset_type), struct.calcsize(count_type)

    at = 8 if big else 4  # where the offset of the next directory stands
    directories: list[Directory] = []
    seen: set[int] = set()
    taken = 0
    while True:
        if at + offset_size > len(data):
            raise raw.damaged("TIFF")
        (start,) = struct.unpack_from(offset_type, data, at)
        if start == 0:
            return directories
        if start in seen:
            raise raw.damaged("TIFF", "its list of pages leads round in a circle")
        seen.add(start)
        if start + count_size > len(data):
            raise raw.damaged("TIFF", "its list of pages leads out of the file")
        (count,) = struct.unpack_from(count_type, data, start)
        start += count_size
        at = start + count * entry.size
        taken += count * entry.size
        if at > len(data):
            raise raw.damaged("TIFF", "its list of pages leads out of the file")
        if taken > len(data):
            raise raw.damaged("TIFF", "its pages overlap")
        fields: dict[int, _Field] = {}
        repeated: set[int] = set()
        for number, (code, kind, values, _) in enumerate(entry.iter_unpack(data[start:at])):
            if code in fields:
                repeated.add(code)
            value_at = start + (number + 1) * entry.size - offset_size
            fields[code] = _Field(kind, values, value_at)
        directories.append(Directory(raw, order, big, fields, frozenset(repeated)))
