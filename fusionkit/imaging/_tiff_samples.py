"""Decoding of the strips or tiles of a TIFF page.

Each is decoded by itself to a size that is known before. More or fewer bytes are damage: of the
data, or of the fields that say how they are stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.imaging import _tiff_layout as layouts
from fusionkit.imaging._lzw import decode_lzw
from fusionkit.imaging._raw import Raw
from fusionkit.imaging._tiff_layout import Layout, Segment


def read_samples(
    raw: Raw, layout: Layout, decode_jpeg: Callable[[bytes], NDArray[Any]]
) -> NDArray[Any]:
    """Decode all strips or tiles of a page.

    Parameters
    ----------
    raw : Raw
        The file.
    layout : Layout
        How the page is stored, checked.
    decode_jpeg : callable
        Decodes one strip or tile of compression JPEG to (height, width, samples).

    Returns
    -------
    array, (H, W, samples)
        Stored values in native byte order.

    Raises
    ------
    ImageError
        If a strip or tile holds more or less than its part of the image.
    """

    def decode(segment: Segment) -> NDArray[Any]:
        data = memoryview(raw.data)[segment.start : segment.stop]
        if layout.compression == layouts.JPEG:
            samples = decode_jpeg(bytes(data))
        else:
            samples = _unpacked(layout, segment.width, _expanded(layout, segment, data))
        # The last strip may be filled up to the height of the others.
        shape = segment.width, layout.together
        if samples.shape not in ((segment.height, *shape), (layout.segment_height, *shape)):
            raise raw.damaged("TIFF", "a strip or tile does not fit the size of the image")
        part = samples[: segment.rows.stop - segment.rows.start]
        return part[:, : segment.columns.stop - segment.columns.start]

    layout = layout.joined()
    if len(layout.offsets) == 1:
        return decode(next(layout.segments()))
    image = np.empty((layout.height, layout.width, layout.samples), layout.dtype)
    for segment in layout.segments():
        first = segment.plane * layout.together
        image[segment.rows, segment.columns, first : first + layout.together] = decode(segment)
    return image


def _expanded(layout: Layout, segment: Segment, data: Any) -> Any:
    """Undo the compression of a buffer; one byte too many is kept, so that it shows."""
    import imagecodecs

    if layout.reversed_bits:
        data = imagecodecs.bitorder_decode(bytes(data))
    if layout.compression == layouts.NONE:
        return data
    size = layout.stored(layout.segment_height, segment.width) + 1
    out = np.empty(size, np.uint8).data  # bytes would be copied to their true length
    if layout.compression == layouts.LZW:
        return decode_lzw(bytes(data), out)
    decoders = {
        layouts.DEFLATE: imagecodecs.deflate_decode,
        layouts.OLD_DEFLATE: imagecodecs.deflate_decode,
        layouts.PACKBITS: imagecodecs.packbits_decode,
        layouts.ZSTD: imagecodecs.zstd_decode,
    }
    return decoders[layout.compression](data, out=out)


def _unpacked(layout: Layout, width: int, data: Any) -> NDArray[Any]:
    """Turn a buffer into rows of samples, (rows, width, samples that lie together)."""
    import imagecodecs

    row = layout.stored(1, width)
    if len(data) % row:
        return np.empty((0, 0, 0), layout.dtype)  # fits no image
    if layout.bits != 8 * layout.dtype.itemsize:
        # The codec reads a few bytes ahead, so another row follows.
        samples = imagecodecs.packints_decode(
            bytes(data) + bytes(row), layout.dtype, layout.bits, runlen=width * layout.together
        )
        return samples.reshape(-1, width, layout.together)[:-1]
    # Predicted floats lie in planes of bytes, most significant first, whatever the byte order.
    dtype = layout.dtype if layout.predictor == 3 else layout.dtype.newbyteorder(layout.order)
    samples = np.frombuffer(data, dtype).reshape(-1, width, layout.together)
    samples = samples.astype(layout.dtype, copy=False)
    if layout.predictor == 2:  # differences of the bits, taken as integers
        integers = samples.view(f"u{layout.dtype.itemsize}")
        out = integers if integers.flags.writeable else None
        samples = imagecodecs.delta_decode(integers, axis=-2, out=out).view(layout.dtype)
    elif layout.predictor == 3:
        samples = imagecodecs.floatpred_decode(samples, axis=-2)
    return samples
