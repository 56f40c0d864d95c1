"""Strips and tiles of a TIFF that are compressed by JPEG (TIFF Technical Note 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.imaging._jpeg import read_frame
from fusionkit.imaging._tiff_file import Directory
from fusionkit.imaging._tiff_layout import Layout

_RGB, _CMYK, _YCBCR = 2, 5, 6  # values of PhotometricInterpretation
_COLOURS = {_RGB: "RGB", _CMYK: "CMYK", _YCBCR: "RGB"}
"""What they are decoded to; others stay as they are."""

_TABLES, _EXTRA_SAMPLES = 347, 338


def jpeg_decoder(
    page: Directory, layout: Layout, photometric: int
) -> Callable[[bytes], NDArray[Any]]:
    """Return the function that decodes one strip or tile to (height, width, samples).

    It raises an ImageError if the data are no JPEG of these samples that is there to its end:
    the decoder itself would fill up what is missing.
    """
    raw, tables = page.raw, page.octets(_TABLES)
    colours = None if _EXTRA_SAMPLES in page else _COLOURS.get(photometric)
    if layout.planes > 1:
        colours = "GRAYSCALE"

    def decode(data: bytes) -> NDArray[Any]:
        import imagecodecs

        frame = read_frame(data)
        if unsupported := frame.unsupported():
            raise raw.error(f"{unsupported} in a TIFF is not supported: save it uncompressed")
        if flaw := frame.flaw():
            raise raw.damaged("TIFF", flaw)
        fits = frame.components == layout.together and layout.dtype == np.uint8
        if not (frame.complete and fits):
            raise raw.damaged("TIFF", "a strip or tile is no JPEG of its samples")
        # RGB without a JFIF header is stored as such; else the stream says what is stored.
        plain = colours == "RGB" and photometric == _RGB and data[6:10] != b"JFIF"
        image = imagecodecs.jpeg8_decode(
            data, tables=tables, colorspace="RGB" if plain else None, outcolorspace=colours
        )
        return image.reshape(*image.shape[:2], -1)

    return decode
