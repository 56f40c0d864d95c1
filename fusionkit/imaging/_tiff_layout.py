"""How the samples of a TIFF page are stored, checked before a byte of them is decoded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from fusionkit.imaging._tiff_file import Directory

# Values of Compression (TIFF 6.0 and its supplements).
NONE, LZW, JPEG, DEFLATE, OLD_DEFLATE, PACKBITS, ZSTD = 1, 5, 7, 8, 32946, 32773, 50000
_OTHERS = {2: "CCITT", 3: "CCITT", 4: "CCITT", 6: "old-style JPEG", 34712: "JPEG 2000"}
_OTHERS |= {33003: "JPEG 2000", 33005: "JPEG 2000", 34887: "LERC", 34892: "lossy DNG JPEG"}
_OTHERS |= {34925: "LZMA", 34933: "PNG", 34934: "JPEG XR", 22610: "JPEG XR", 50001: "WebP"}
_OTHERS |= {34927: "WebP", 50002: "JPEG XL", 52546: "JPEG XL"}

# The most bytes of samples that a stored byte stands for, at the best that the coding can do: a
# string of LZW is as long as its table, a run of PackBits 128, Deflate gives 1032, a block of
# Zstandard 128 KiB from 4 bytes, and 64 pixels of up to 4 samples take JPEG a bit.
_MOST = {NONE: 1, LZW: 2048, PACKBITS: 64, DEFLATE: 1032, OLD_DEFLATE: 1032, ZSTD: 2**15}
_MOST |= {JPEG: 4 * 512}

_MOST_SAMPLES = 8  # colour, alpha and some extras; more would be a stack of bands
_FORMATS = {1: "u", 2: "i", 3: "f", 4: "u"}  # unsigned, signed, float, and void as unsigned
_DEPTHS = {"u": (*range(1, 17), 32, 64), "i": (8, 16, 32, 64), "f": (16, 32, 64)}
_WHOLE_BYTES = (8, 16, 32, 64)
_ONE_STRIP = 2**32 - 1  # RowsPerStrip, if nothing else is said


@dataclass(frozen=True)
class Segment:
    """One strip or tile: where its bytes lie, and the part of the image that they hold.

    `height` and `width` are what is stored: a tile passes the lower and the right edge.
    """

    start: int
    stop: int
    plane: int
    rows: slice
    columns: slice
    height: int
    width: int


@dataclass(frozen=True)
class Layout:
    """The stored samples of one page; a pixel has `samples` of `bits` bits.

    `kind` is "u", "i" or "f" and `order` "<" or ">", as NumPy writes them. There is one plane
    where the samples of a pixel lie together, else as many as samples. A segment is a strip or
    a tile of at most `segment_height` rows and `segment_width` columns.
    """

    width: int
    height: int
    samples: int
    bits: int
    kind: str
    order: Literal["<", ">"]
    compression: int
    predictor: int
    reversed_bits: bool
    planes: int
    tiled: bool
    segment_width: int
    segment_height: int
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def together(self) -> int:
        """Samples of a pixel that lie together."""
        return self.samples // self.planes

    @property
    def dtype(self) -> np.dtype[Any]:
        """What holds a sample, in native byte order; odd depths take the next larger dtype."""
        return np.dtype(f"{self.kind}{max(8, 1 << (self.bits - 1).bit_length()) // 8}")

    def stored(self, height: int, width: int) -> int:
        """Bytes of so many pixels in one segment, uncompressed; rows end on whole bytes."""
        return height * ((width * self.together * self.bits + 7) // 8)

    def joined(self) -> Layout:
        """Return the same with one strip, if the strips are plain samples that lie in a row."""
        if self.compression != NONE or self.tiled or self.planes > 1:
            return self
        at = self.offsets[0]
        for segment in self.segments():
            if segment.start != at:
                return self
            at += self.stored(segment.height, segment.width)
            if segment.stop != at:
                return self
        sizes = (at - self.offsets[0],)
        return replace(self, segment_height=self.height, offsets=self.offsets[:1], sizes=sizes)

    def segments(self) -> Iterator[Segment]:
        """Yield the strips or tiles, plane by plane and row by row."""
        across = math.ceil(self.width / self.segment_width)
        a_plane = math.ceil(self.height / self.segment_height) * across
        for number, (start, size) in enumerate(zip(self.offsets, self.sizes, strict=True)):
            top = number % a_plane // across * self.segment_height
            left = number % across * self.segment_width
            rows = slice(top, min(top + self.segment_height, self.height))
            yield Segment(
                start,
                start + size,
                number // a_plane,
                rows,
                slice(left, min(left + self.segment_width, self.width)),
                self.segment_height if self.tiled else rows.stop - rows.start,
                self.segment_width,
            )


def read_layout(page: Directory) -> Layout:
    """Read how a page is stored, and check it against the file and the limit of pixels.

    Raises
    ------
    ImageError
        If the fields contradict each other or the size of the file, or what they say is not
        supported.
    """
    raw = page.raw
    width, height = page.integer(256), page.integer(257)
    raw.check_size(width, height)
    compression = page.integer(259, NONE)
    if compression not in _MOST:
        name = _OTHERS.get(compression, f"number {compression}")
        raise raw.error(
            f"TIFF compression {name} is not supported: save it uncompressed, "
            "or with LZW or Deflate"
        )
    samples = page.integer(277, 1)
    if samples < 1:
        raise raw.damaged("TIFF", "it has no samples")
    if samples > _MOST_SAMPLES:
        raise raw.error(f"it has {samples} channels: save it as grey or RGB")
    bits, kind = _depth(page, samples)
    predictor = page.integer(317, 1)
    fits = {1: True, 2: bits in _WHOLE_BYTES, 3: kind == "f"}
    if compression != JPEG and not fits.get(predictor):
        raise raw.damaged("TIFF", f"its predictor {predictor} does not fit its samples")
    planar = page.integer(284, 1)
    if planar not in (1, 2):
        raise raw.damaged("TIFF", f"its samples are arranged in the unknown way {planar}")
    tiled = 322 in page
    if tiled:
        segment_width, segment_height = page.integer(322), page.integer(323)
        raw.check_size(segment_width, segment_height)
    else:
        segment_width, segment_height = width, min(page.integer(278, _ONE_STRIP), height)
        if segment_height < 1:
            raise raw.damaged("TIFF", "its strips have no rows")
    layout = Layout(
        width,
        height,
        samples,
        bits,
        kind,
        page.order,
        compression,
        predictor,
        page.integer(266, 1) == 2,
        samples if planar == 2 else 1,
        tiled,
        segment_width,
        segment_height,
        page.integers(324 if tiled and 324 in page else 273) or (),
        page.integers(325 if tiled and 325 in page else 279) or (),
    )
    _check_segments(page, layout)
    return layout


def _depth(page: Directory, samples: int) -> tuple[int, str]:
    """Read bits and kind of a sample, which all samples of a pixel share."""
    raw = page.raw
    shared = []
    for code in (258, 339):  # BitsPerSample, SampleFormat
        values = page.integers(code) or (1,)
        if 1 < len(values) < samples:
            raise raw.damaged("TIFF", f"its field {code} has {len(values)} values")
        if len(set(values[:samples])) > 1:
            raise raw.error("its channels have different depths: save it with one")
        shared.append(values[0])
    bits, kind = shared[0], _FORMATS.get(shared[1])
    if kind is None or bits not in _DEPTHS[kind]:
        raise raw.error(
            f"samples of {bits} bits and format {shared[1]} are not supported: "
            "save it with 8 or 16 bits, or as 32-bit float"
        )
    return bits, kind


def _check_segments(page: Directory, layout: Layout) -> None:
    """Check that the strips or tiles are all there, and can hold what they should."""
    raw = page.raw
    count = layout.planes * math.ceil(layout.height / layout.segment_height)
    count *= math.ceil(layout.width / layout.segment_width)
    size = f"{layout.width}x{layout.height} pixels"
    if {len(layout.offsets), len(layout.sizes)} != {count}:
        found = min(len(layout.offsets), len(layout.sizes))
        raise raw.damaged("TIFF", f"{size} take {count} strips or tiles, and it has {found}")
    if sum(layout.sizes) > len(raw.data):
        raise raw.damaged("TIFF")
    for segment in layout.segments():
        if segment.start == 0 or segment.start == segment.stop:
            raise raw.damaged("TIFF", "some of its strips or tiles are missing")
        if segment.stop > len(raw.data):
            raise raw.damaged("TIFF")
        most = (segment.stop - segment.start + 16) * _MOST[layout.compression]
        if layout.stored(segment.height, segment.width) > most:
            raise raw.damaged("TIFF", f"its strips or tiles are too short for {size}")
