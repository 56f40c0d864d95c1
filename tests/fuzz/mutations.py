"""Damage to files: blind, and such that looks right at first sight."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Sequence

_NUMBERS = (0, 1, 2, 3, 7, 8, 15, 16, 255, 256, 4095, 32767, 32768, 65535, 2**24, 2**31 - 1, 2**31)

_LEAST = 12  # bytes that are left of a file, enough to be taken for its format


def mutated(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Damage a file in one to six ways; `others` lend parts to it."""
    blind = [
        _flip,
        _set,
        _number,
        _cut,
        _drop,
        _repeat,
        lambda d, r: _splice(d, r.choice(others), r),
    ]
    knowing = _knowing(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        if knowing is not None and rng.random() < 0.6:
            data = knowing(data, rng)
        else:
            data = rng.choice(blind)(data, rng)
    return data


def _knowing(data: bytes) -> Callable[[bytes, random.Random], bytes] | None:
    """Return the damage that keeps the outer form of a format."""
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _tiff_field
    if data[:4] == b"\x89PNG":
        return _png_chunk
    if data[:2] == b"\xff\xd8":
        return _jpeg_segment
    if data[:6] == b"\x93NUMPY":
        return _npy_header
    if data[:2] == b"BM":
        return _bmp_header
    return None


# --- blind ---------------------------------------------------------------------------------------


def _flip(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        damaged[_place(data, rng)] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _set(data: bytes, rng: random.Random) -> bytes:
    at = _place(data, rng)
    return (
        data[:at] + bytes([rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))]) + data[at + 1 :]
    )


def _number(data: bytes, rng: random.Random) -> bytes:
    """Write a number of 2 or 4 bytes that is often one too much for something."""
    at, form = _place(data, rng), rng.choice(("<H", ">H", "<I", ">I"))
    number = struct.pack(form, rng.choice(_NUMBERS) % 256 ** struct.calcsize(form))
    return data[:at] + number + data[at + len(number) :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: max(_LEAST, len(data) - rng.choice((1, 2, 8, rng.randrange(len(data)))))]


def _drop(data: bytes, rng: random.Random) -> bytes:
    at = _place(data, rng)
    shorter = data[:at] + data[at + rng.choice((1, 2, 4, 16, 64)) :]
    return shorter if len(shorter) >= _LEAST else data


def _repeat(data: bytes, rng: random.Random) -> bytes:
    at, length = _place(data, rng), rng.choice((1, 2, 4, 16, 64))
    return (
        data[: at + length] + data[at : at + length] * rng.choice((1, 1, 50)) + data[at + length :]
    )


def _splice(data: bytes, other: bytes, rng: random.Random) -> bytes:
    at, start, length = _place(data, rng), rng.randrange(len(other)), rng.choice((4, 16, 64, 256))
    part = other[start : start + length]
    return data[:at] + part + data[at + len(part) :]


def _place(data: bytes, rng: random.Random) -> int:
    """A place in the file, often near its beginning, where headers are."""
    return rng.randrange(len(data) if rng.random() < 0.6 else min(len(data), 400))


# --- knowing -------------------------------------------------------------------------------------


def _tiff_field(data: bytes, rng: random.Random) -> bytes:
    """Change code, type, count or value of an entry of the first directory, or the next page."""
    order = "<" if data[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "I", data, 4)
    if first + 2 > len(data):
        return _flip(data, rng)
    (count,) = struct.unpack_from(order + "H", data, first)
    at = first + 2 + 12 * rng.randrange(count + 1)
    if count == 0 or at + 12 > len(data):
        return _flip(data, rng)
    damaged = bytearray(data)
    codes = (254, 256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 322, 338, 339, 34675)
    part = rng.randrange(6)
    if part == 0:
        struct.pack_into(order + "H", damaged, at, rng.choice(codes))
    elif part == 1:
        struct.pack_into(
            order + "H", damaged, at + 2, rng.choice((0, 1, 2, 3, 4, 5, 7, 12, 13, 16))
        )
    elif part == 2:
        struct.pack_into(order + "I", damaged, at + 4, rng.choice(_NUMBERS))
    elif part == 3:  # a value of 16 bits, in the upper half for big-endian files
        struct.pack_into(order + "H", damaged, at + 8, rng.choice(_NUMBERS) % 65536)
    else:
        value = struct.unpack_from(order + "I", data, at + 8)[0]
        near = value + rng.choice((-4, -1, 1, 4, 16))
        struct.pack_into(order + "I", damaged, at + 8, rng.choice((near % 2**32, *_NUMBERS)))
    return bytes(damaged)


def _png_chunk(data: bytes, rng: random.Random) -> bytes:
    """Change, drop, repeat or move a chunk; its checksum fits."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    if not chunks:
        return _flip(data, rng)
    which = rng.randrange(len(chunks))
    kind, body = chunks[which]
    deed = rng.randrange(7)
    if deed == 0:
        del chunks[which]
    elif deed == 1:
        chunks.insert(rng.randrange(len(chunks)), (kind, body))
    elif deed == 2:
        kinds = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"iCCP", b"eXIf", b"acTL", b"IEND")
        chunks[which] = rng.choice(kinds), body
    elif kind == b"IDAT" and deed < 5:
        chunks[which] = kind, _inside(body, rng)
    elif body:
        chunks[which] = kind, rng.choice((_flip, _set, _number, _cut))(body, rng)[: 2**16]
    return data[:8] + b"".join(_packed(kind, body) for kind, body in chunks)


def _packed(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _inside(body: bytes, rng: random.Random) -> bytes:
    """Damage what a stream of Deflate holds, not the stream."""
    try:
        rows = zlib.decompressobj().decompress(body, 2**16)
    except zlib.error:
        return body
    damage = rng.choice((_flip, _set, _drop, _repeat, _cut))
    return zlib.compress(damage(rows, rng)) if rows else body


def _jpeg_segment(data: bytes, rng: random.Random) -> bytes:
    """Change, drop or repeat a segment of the header, or its marker."""
    at, segments = 2, []
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        length = 2 + struct.unpack_from(">H", data, at + 2)[0]
        segments.append(data[at : at + length])
        at += length
    if not segments:
        return _flip(data, rng)
    which = rng.randrange(len(segments))
    segment, deed = segments[which], rng.randrange(5)
    if deed == 0:
        del segments[which]
    elif deed == 1:
        segments.insert(which, segment)
    elif deed == 2:
        marker = rng.choice(
            (0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC9, 0xDB, 0xDD, 0xE0, 0xE1, 0xE2, 0xEE)
        )
        segments[which] = bytes([0xFF, marker]) + segment[2:]
    elif len(segment) > 4:
        body = rng.choice((_flip, _set, _number))(segment[4:], rng)[: len(segment) - 4]
        segments[which] = segment[:4] + body
    return data[:2] + b"".join(segments) + data[at:]


def _npy_header(data: bytes, rng: random.Random) -> bytes:
    """Change dtype or shape in the header, which keeps its length."""
    end = 10 + struct.unpack_from("<H", data, 8)[0]
    header = data[10:end]
    pairs = (
        (
            b"'descr': '",
            rng.choice((b"'descr': '|O8", b"'descr': '<c8", b"'descr': '<M8", b"'descr': '<U9")),
        ),
        (b"(20, ", rng.choice((b"(-1, ", b"(99999999, ", b"(0, ", b"(", b"(2, 10, "))),
        (b", 24", rng.choice((b", 23", b", 25", b", 99999999999", b"", b", 24, 1, 1"))),
        (b"False", rng.choice((b"True", b"None", b"[" * 50))),
    )
    old, new = rng.choice(pairs)
    changed = header.replace(old, new, 1).rstrip() + b"\n"
    return data[:10] + changed.rjust(len(header))[: len(header)] + data[end:]


def _bmp_header(data: bytes, rng: random.Random) -> bytes:
    """Change size, depth, compression or colours of a bitmap."""
    at = rng.choice((10, 14, 18, 22, 26, 28, 30, 46))
    number = struct.pack("<I", rng.choice(_NUMBERS))
    return data[:at] + number + data[at + 4 :]
