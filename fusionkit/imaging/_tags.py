"""Tags as TIFF files and Exif blocks hold them, copied from one to another as they are stored."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Bytes of a value by field type (TIFF 6.0, section 2)."""
WIDTHS |= {16: 8, 17: 8, 18: 8}  # of BigTIFF

_SHORT, _LONG, _RATIONAL = 3, 4, 5


@dataclass(frozen=True)
class Tag:
    """The value of a tag: its field type, and its bytes in little-endian order."""

    kind: int
    data: bytes

    @property
    def count(self) -> int:
        """How many values there are."""
        return len(self.data) // WIDTHS[self.kind]

    def integer(self) -> int:
        """Return the only value of an unsigned integer; ValueError if it is none."""
        if self.kind not in (_SHORT, _LONG) or self.count != 1:
            raise ValueError("it is not one whole number")
        return int.from_bytes(self.data, "little")

    def fraction(self) -> float:
        """Return the only value of an unsigned rational; ValueError if it is none."""
        if self.kind != _RATIONAL or self.count != 1:
            raise ValueError("it is not one fraction")
        numerator, denominator = struct.unpack("<II", self.data)
        if denominator == 0:
            raise ValueError("it divides by zero")
        return float(numerator / denominator)


def short(value: int) -> Tag:
    """Make a tag of a 16-bit number."""
    return Tag(_SHORT, struct.pack("<H", value))


def offset(value: int, big: bool = False) -> Tag:
    """Make a tag of an offset in a file, of 64 bits in BigTIFF."""
    return Tag(16 if big else _LONG, struct.pack("<Q" if big else "<I", value))


def rational(numerator: int, denominator: int = 1) -> Tag:
    """Make a tag of a fraction."""
    return Tag(_RATIONAL, struct.pack("<II", numerator, denominator))


def directory(tags: Mapping[int, Tag], at: int, big: bool = False) -> bytes:
    """Return a little-endian directory, with its values behind it, that is to stand at `at`."""
    number, inline = ("Q", 8) if big else ("I", 4)
    count = struct.pack("<Q" if big else "<H", len(tags))
    values_at = at + len(count) + len(tags) * (4 + 2 * inline) + inline
    entries, values = bytearray(), bytearray()
    for code, tag in sorted(tags.items()):
        entries += struct.pack("<HH" + number, code, tag.kind, tag.count)
        if len(tag.data) <= inline:
            entries += tag.data.ljust(inline, b"\0")
        else:
            entries += struct.pack("<" + number, values_at + len(values))
            values += tag.data + bytes(len(tag.data) % 2)  # offsets are even
    return count + bytes(entries) + bytes(inline) + bytes(values)
