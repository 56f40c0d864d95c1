"""The structure of a JPEG stream, read before a decoder works for it (ITU-T T.81, annex B)."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A marker is FF and a byte; in coded data FF 00 is a stuffed byte and FF D0 to FF D7 restart.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_END, _SCAN = 0xD9, 0xDA
_ALONE = (0x01, 0xD8)  # markers without a length
_FRAMES = (*sorted({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}), 0xF7)

_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_ARITHMETIC = (0xC9, 0xCA)
_OTHERS = {0xC3: "lossless JPEG", 0xF7: "JPEG-LS"}

_MOST_SCANS = 100  # encoders write about ten; each costs a pass over the image
_PIXELS_A_BYTE = 512  # Huffman coding takes a bit for 64 pixels at the least


@dataclass(frozen=True)
class Frame:
    """What the header of a JPEG stream says; `complete` if the stream comes to its end."""

    kind: int
    bits: int
    height: int
    width: int
    components: int
    scans: int
    size: int
    complete: bool

    def flaw(self) -> str | None:
        """Say why the stream cannot be what its header says, or return None."""
        if self.scans > _MOST_SCANS:
            return f"it has {self.scans} scans, where encoders write about ten"
        pixels = self.width * self.height
        if self.kind not in _ARITHMETIC and pixels > self.size * _PIXELS_A_BYTE:
            return f"it is too short for {self.width}x{self.height} pixels"
        return None

    def unsupported(self) -> str | None:
        """Name what no decoder here knows, or return None."""
        if self.kind in (_BASELINE, _EXTENDED, _PROGRESSIVE, *_ARITHMETIC):
            return None if self.bits == 8 else f"JPEG of {self.bits} bits"
        return _OTHERS.get(self.kind, "this kind of JPEG")


def read_frame(data: bytes) -> Frame:
    """Walk through the markers of a JPEG stream.

    Raises
    ------
    ValueError
        If it has no frame header, or a segment leaves the stream.
    """
    header: tuple[int, int, int, int, int] | None = None
    scans, complete, at = 0, False, 0
    while (found := _MARKER.search(data, at)) is not None:
        marker, at = data[found.start() + 1], found.end()
        if marker == _END:
            complete = True
            break
        if marker in _ALONE:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        if length < 2 or at + length > len(data):
            raise ValueError("one of its segments is cut")
        if marker in _FRAMES and header is None and length >= 8:
            body = data[at + 2 : at + 8]
            size = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            header = marker, body[0], *size, body[5]
        scans += marker == _SCAN
        at += length
    if header is None:
        raise ValueError("it has no frame header")
    return Frame(*header, scans, len(data), complete)
