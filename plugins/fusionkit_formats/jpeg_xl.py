"""JPEG XL (ISO/IEC 18181): pixels by imagecodecs (libjxl), Exif and colours as the file says them.

imagecodecs gives pixels alone. Exif stands in a box of the file (18181-2, 9), what colours are in
the header of the image (18181-1, annex D); a profile (ICC) is coded there, and not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import imagecodecs
import numpy as np

from fusionkit import Decoded
from fusionkit.imaging import NO_METADATA, Metadata, from_exif

UNREAD = "its colour profile (ICC) is not read: colours are taken for sRGB"
_LEFT_OUT = {b"xml ": "XMP", b"jumb": "JUMBF"}
_LIGHT = {16: "PQ", 18: "HLG"}  # ITU-T H.273
_SRGB = (1, 13)


def decode(data: bytes, part: str) -> Decoded:
    """Decode the only image, upright, in its depth: 8 or 16 bits, or floats."""
    codestream, metadata = _boxes(data)
    notes = _colours(codestream)
    samples = np.asarray(imagecodecs.jpegxl_decode(data, keeporientation=False, numthreads=1))
    if samples.ndim == 4:
        raise ValueError(f"it holds {len(samples)} frames: save the one you mean")
    if samples.dtype == np.float16:
        samples = samples.astype(np.float32)
    alpha = None
    if samples.ndim == 3 and samples.shape[2] in (2, 4):
        samples, alpha = samples[..., :-1], samples[..., -1]
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[..., 0]
    return Decoded(np.ascontiguousarray(samples), alpha, notes=notes, metadata=metadata)


def _boxes(data: bytes) -> tuple[bytes, Metadata]:
    """Return how the image begins, and what is said beside it."""
    if data.startswith(b"\xff\x0a"):  # an image without a container
        return data, NO_METADATA
    codestream, exif, left_out = b"", b"", []
    for kind, content in _each(data):
        if kind == b"brob" and len(content) > 4:  # compressed by Brotli
            kind = content[:4]
            packed = content[4:]
            unpacked = imagecodecs.brotli_decode(packed) if kind == b"Exif" else b""
            content = bytes(unpacked)
        if kind == b"jxlc":
            codestream = content
        elif kind == b"jxlp":
            codestream += content[4:]
        elif kind == b"Exif" and not exif:
            exif = content
            if not exif.startswith((b"II*\0", b"MM\0*")):  # as some write it, without an offset
                exif = exif[4 + int.from_bytes(exif[:4], "big") :]
        elif kind in _LEFT_OUT:
            left_out.append(_LEFT_OUT[kind])
    found = from_exif(exif)
    # The decoder turns the image as its header says, whatever Exif does.
    return codestream, replace(found, orientation=1, left_out=(*found.left_out, *left_out))


def _each(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size, head = int.from_bytes(data[at : at + 4], "big"), 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        end = len(data) if size == 0 else at + size
        if end < at + head:
            return  # the decoder says that it is damaged
        yield data[at + 4 : at + 8], data[at + head : end]
        at = end


def _colours(codestream: bytes) -> tuple[str, ...]:
    """Say where colours are not those of sRGB, which they are taken for."""
    said = colours_of(codestream)
    if said is None:
        return ()
    if said.icc:
        return (UNREAD,)
    if said.curve in _LIGHT:
        raise ValueError(
            f"its values are {_LIGHT[said.curve]}, of HDR, not those of a screen: save it in sRGB"
        )
    if (said.primaries, said.curve) == _SRGB:
        return ()
    curve = "a gamma" if said.curve is None else str(said.curve)
    return (f"its colours (CICP {said.primaries}, {curve}) are taken for sRGB, without a profile",)


@dataclass(frozen=True)
class Colours:
    """What the header says of colours: whether by a profile; primaries and curve of H.273."""

    icc: bool = False
    primaries: int = 1
    curve: int | None = 13


def colours_of(codestream: bytes) -> Colours | None:
    """Read the header of an image; None where it is damaged, or has a preview."""
    bits = _Bits(codestream[2:512])
    try:
        _size(bits)
        if bits.flag():  # all as usual
            return Colours()
        if bits.flag():
            bits.number(3)  # orientation
            if bits.flag():
                _size(bits)
            if bits.flag():
                return None
            if bits.flag():  # an animation
                bits.choice((100, 0), (1000, 0), (1, 10), (1, 30))
                bits.choice((1, 0), (1001, 0), (1, 8), (1, 10))
                bits.choice((0, 0), (0, 3), (0, 16), (0, 32))
                bits.flag()
        _depth(bits)
        bits.flag()
        for _ in range(bits.choice((0, 0), (1, 0), (2, 4), (1, 12))):
            _extra(bits)
        bits.flag()  # whether it is stored in XYB
        return _encoding(bits)
    except EOFError:
        return None


def _encoding(bits: _Bits) -> Colours:
    if bits.flag():
        return Colours()
    if bits.flag():
        return Colours(icc=True)
    space = bits.enum()
    grey, white, primaries = space == 1, 1, 1
    if space != 2:
        white = bits.enum()
        if white == 2:
            _point(bits)
        if not grey:
            primaries = bits.enum()
            if primaries == 2:
                for _ in range(3):
                    _point(bits)
    if bits.flag():
        bits.number(24)
        return Colours(primaries=primaries, curve=None)
    return Colours(primaries=primaries if white == 1 else 2, curve=bits.enum())


def _size(bits: _Bits) -> None:
    small = bits.flag()
    sides = ((1, 9), (1, 13), (1, 18), (1, 30))
    bits.number(5) if small else bits.choice(*sides)
    if bits.number(3) == 0:
        bits.number(5) if small else bits.choice(*sides)


def _depth(bits: _Bits) -> None:
    if bits.flag():
        bits.choice((32, 0), (16, 0), (24, 0), (1, 6))
        bits.number(4)
    else:
        bits.choice((8, 0), (10, 0), (12, 0), (1, 6))


def _extra(bits: _Bits) -> None:
    """Skip what is said of a channel beside colours, such as alpha."""
    if bits.flag():
        return
    kind = bits.enum()
    _depth(bits)
    bits.choice((0, 0), (3, 0), (4, 0), (1, 3))
    for _ in range(bits.choice((0, 0), (0, 4), (16, 5), (48, 10))):
        bits.number(8)
    if kind == 0:
        bits.flag()
    elif kind == 2:
        bits.number(64)
    elif kind == 5:
        bits.choice((1, 0), (0, 2), (3, 4), (19, 8))


def _point(bits: _Bits) -> None:
    for _ in range(2):
        bits.choice((0, 19), (524288, 19), (1048576, 20), (2097152, 21))


class _Bits:
    """Numbers in a header, the lowest bit first (18181-1, B.2)."""

    def __init__(self, data: bytes) -> None:
        self._left = len(data) * 8
        self._value = int.from_bytes(data, "little")

    def number(self, bits: int) -> int:
        if bits > self._left:
            raise EOFError
        found = self._value & ((1 << bits) - 1)
        self._value >>= bits
        self._left -= bits
        return found

    def flag(self) -> bool:
        return bool(self.number(1))

    def choice(self, *of: tuple[int, int]) -> int:
        """Return a number of four kinds, each an offset and so many bits."""
        offset, bits = of[self.number(2)]
        return offset + self.number(bits)

    def enum(self) -> int:
        return self.choice((0, 0), (1, 0), (2, 4), (18, 6))
