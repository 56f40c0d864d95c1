"""JPEG, BMP and WebP, through Pillow.

The plugin classes are called directly: `PIL.Image.open` would probe other formats and unwrap
multi-picture JPEGs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionkit.imaging._jpeg import read_frame
from fusionkit.imaging._raw import Raw
from fusionkit.imaging.decoded import Decoded
from fusionkit.imaging.making import split_alpha
from fusionkit.imaging.metadata import Tags, from_exif, resolution_of

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

# The most pixels that a byte of WebP stands for: encoders reach 26000 and 560 where an image has
# one colour. The format itself has no limit.
_LOSSLESS_PIXELS, _LOSSY_PIXELS = 2**15, 2**11
# What thermal cameras of FLIR write, and how far in a file that is looked for.
_FLIR, _SEGMENTS = b"FLIR\0\1", 2**18
_DIRECT_MODES = ("L", "LA", "RGB", "RGBA")


def holds_temperatures(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a JPEG of a thermal camera of FLIR; False where it cannot be read."""
    try:
        with open(path, "rb") as file:
            head = file.read(_SEGMENTS)
    except (OSError, ValueError):  # ValueError: no path
        return False
    return head.startswith(b"\xff\xd8\xff") and _FLIR in head


def decode_jpeg(raw: Raw) -> Decoded:
    """Decode the first picture of a JPEG file."""
    from PIL.JpegImagePlugin import JpegImageFile

    frame = read_frame(raw.data)
    if unsupported := frame.unsupported():
        raise raw.error(f"{unsupported} is not supported: save it as PNG or TIFF")
    raw.check_size(frame.width, frame.height)
    if flaw := frame.flaw():
        raise raw.damaged("JPEG", flaw)
    with _own_rules():
        image = JpegImageFile(BytesIO(raw.data))
        decoded = _decode(raw, image, _density(image))
    if _FLIR in raw.data[:_SEGMENTS]:
        note = f"it holds temperatures, which {raw.name}#thermal reads (fusionkit-imaging[formats])"
        decoded = replace(decoded, notes=(*decoded.notes, note))
    return decoded


def decode_bmp(raw: Raw) -> Decoded:
    """Decode a Windows bitmap."""
    from PIL.BmpImagePlugin import BmpImageFile

    with _own_rules():
        image = BmpImageFile(BytesIO(raw.data))
        raw.check_size(*image.size)
        width, height = image.size
        codec, _, _, options = image.tile[0]
        # A row of plain pixels says how long it is; a run takes 2 bytes for up to 255 pixels.
        row: Any = options[1] if codec == "raw" and options else width / 128
        if height * row > len(raw.data):
            raise raw.damaged("BMP", f"it is too short for {width}x{height} pixels")
        return _decode(raw, image, _pixels_a_metre(raw))


def decode_webp(raw: Raw) -> Decoded:
    """Decode a still WebP."""
    from PIL.WebPImagePlugin import WebPImageFile

    # Pillow allocates the canvas while opening, so the header is read here first.
    width, height = _webp_size(raw)
    raw.check_size(width, height)
    if width * height > len(raw.data) * (
        _LOSSLESS_PIXELS if b"VP8L" in raw.data else _LOSSY_PIXELS
    ):
        raise raw.damaged("WebP", f"it is too short for {width}x{height} pixels")
    with _own_rules():
        image = WebPImageFile(BytesIO(raw.data))
        if image.n_frames > 1:
            raise raw.error("this WebP is an animation: save the one frame you mean")
        return _decode(raw, image)


def _pixels_a_metre(raw: Raw) -> Tags | None:
    """Return the resolution of a bitmap, which the oldest headers do not have."""
    if int.from_bytes(raw.data[14:18], "little") < 40:
        return None
    x, y = (int.from_bytes(raw.data[at : at + 4], "little", signed=True) for at in (38, 42))
    return resolution_of(x, y, metric=True, divided_by=100)


def _density(image: ImageFile) -> Tags | None:
    """Return the resolution of a JPEG's own header, if it has a unit."""
    unit = image.info.get("jfif_unit")
    if unit not in (1, 2):
        return None
    x, y = image.info["jfif_density"]
    return resolution_of(x, y, metric=unit == 2)


def _decode(raw: Raw, image: ImageFile, resolution: Tags | None = None) -> Decoded:
    """Decode an opened file; only its header has been read so far."""
    raw.check_size(*image.size)
    image.load()
    notes: tuple[str, ...] = ()
    icc = image.info.get("icc_profile")
    if image.mode in _DIRECT_MODES:
        samples = np.asarray(image)
    elif image.mode == "1":
        samples = np.asarray(image.convert("L"))
    elif image.mode == "P":
        colours = len(image.getpalette() or ()) // 3
        if np.asarray(image).max() >= colours:
            raise raw.damaged(
                str(image.format), f"its pixels name more colours than the {colours} of its palette"
            )
        samples = np.asarray(image.convert("RGB"))
    elif image.mode == "CMYK":
        samples = np.asarray(image.convert("RGB"))
        notes += ("converted from CMYK to RGB without a colour profile",)
        icc = None  # it describes the inks
    else:
        raise raw.error(f"pixels of kind {image.mode} are not supported: save it as PNG or TIFF")
    metadata = from_exif(image.info.get("exif"), resolution)
    pixels, alpha = split_alpha(samples)
    return Decoded(pixels, alpha, icc, notes, metadata=metadata)


@contextlib.contextmanager
def _own_rules() -> Iterator[None]:
    """Set Pillow's global switches while the codec lock is held.

    Truncated files are an error even where another library told Pillow to accept them, and
    the size limit is ours, checked against each header, not Pillow's.
    """
    from PIL import Image, ImageFile

    before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
    ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = False, None
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = before


def _webp_size(raw: Raw) -> tuple[int, int]:
    """Width and height from the first chunk (RFC 9649, 2.5 to 2.7)."""
    kind, body = raw.data[12:16], raw.data[20:30]
    if len(body) < 10:
        raise raw.damaged("WebP")
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return (
            int.from_bytes(body[6:8], "little") & 0x3FFF,
            int.from_bytes(body[8:10], "little") & 0x3FFF,
        )
    raise raw.damaged("WebP", "it has no image chunk")
