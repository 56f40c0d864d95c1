"""Image files as bytes: by the encoders at hand, and byte by byte for what none of them writes."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import tifffile
from PIL import Image


def encoded(image: Image.Image, image_format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def tiff(samples, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, samples, **options)
    return file.getvalue()


def npy(samples) -> bytes:
    file = io.BytesIO()
    np.save(file, samples)
    return file.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, bits, colour_type, rows, *extra, interlace=0) -> bytes:
    """A PNG of the given rows of packed samples; extra chunks go before the image data."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, interlace)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + b"".join(png_chunk(kind, body) for kind, body in extra)
        + png_chunk(b"IDAT", data)
        + png_chunk(b"IEND", b"")
    )


def png16(samples: np.ndarray, *extra) -> bytes:
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[1 if samples.ndim == 2 else samples.shape[2]]
    rows = [row.astype(">u2").tobytes() for row in samples]
    return png(samples.shape[1], samples.shape[0], 16, colour_type, rows, *extra)


def exif(orientation: int) -> bytes:
    """A TIFF-structured Exif block that holds an orientation only."""
    return b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 274, 3, 1, orientation, 0, 0)


def patched_bmp_or_jpeg(data: bytes, width: int, height: int) -> bytes:
    """The same file, its header claiming another size."""
    if data[:2] == b"BM":
        return data[:18] + struct.pack("<ii", width, height) + data[26:]
    start = data.index(b"\xff\xc0")  # baseline frame header: marker, length, precision, size
    return data[: start + 5] + struct.pack(">HH", height, width) + data[start + 9 :]


def tiff_field(data: bytes, code: int) -> int:
    """Where the entry of a field stands in the first directory of a little-endian TIFF."""
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    entries = [first + 2 + 12 * n for n in range(count)]
    return next(at for at in entries if struct.unpack_from("<H", data, at) == (code,))


def patched_tiff(data: bytes, code: int, new: int | None = None, **parts) -> bytes:
    """The same file with an entry of its first directory changed.

    `new` is another code; `parts` are kind, count and value, the last as an integer of 32 bits.
    """
    patched, at = bytearray(data), tiff_field(data, code)
    if new is not None:
        struct.pack_into("<H", patched, at, new)
    for part, value in parts.items():
        form, shift = {"kind": ("<H", 2), "count": ("<I", 4), "value": ("<I", 8)}[part]
        struct.pack_into(form, patched, at + shift, value)
    return bytes(patched)


def next_page_at(data: bytes) -> int:
    """Where the first directory of a little-endian TIFF says where the second is."""
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    return first + 2 + 12 * count


def bmp_of_runs(runs: bytes, width: int, height: int) -> bytes:
    """A bitmap of 8 bits in BI_RLE8, whose palette's first colour is the index."""
    palette = b"".join(bytes([255 - n, n // 2, n, 0]) for n in range(256))
    start = 14 + 40 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start) + header + palette + runs
