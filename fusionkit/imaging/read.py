"""Reading image files: formats by content, every depth kept, every problem one line."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable

from fusionkit.errors import ImageError, UsageError
from fusionkit.imaging import _npy, _png
from fusionkit.imaging._npy import decode_npy
from fusionkit.imaging._pillow import decode_bmp, decode_jpeg, decode_webp
from fusionkit.imaging._png import decode_png
from fusionkit.imaging._raw import MAX_PIXELS_VARIABLE, Decoded, Raw
from fusionkit.imaging._tiff import decode_tiff
from fusionkit.imaging.picture import Picture, checked_picture

DEFAULT_MAX_PIXELS = 2**28
"""Size limit unless the environment variable FUSIONKIT_MAX_PIXELS sets another."""

SUPPORTED = "PNG, JPEG, BMP, TIFF, WebP, NPY"

_DECODERS: tuple[tuple[bytes, Callable[[Raw], Decoded]], ...] = (
    (_png.SIGNATURE, decode_png),
    (b"\xff\xd8\xff", decode_jpeg),
    (b"BM", decode_bmp),
    (b"II*\0", decode_tiff),
    (b"MM\0*", decode_tiff),
    (b"II+\0", decode_tiff),  # BigTIFF
    (b"MM\0+", decode_tiff),
    (_npy.SIGNATURE, decode_npy),
)

# Formats that people do have lying about, named so that they know what to convert.
_OTHER_FORMATS = (
    (b"GIF8", 0, "GIF"),
    (b"%PDF", 0, "PDF"),
    (b"PK\3\4", 0, "zip or NPZ"),
    (b"ftyp", 4, "HEIC or AVIF"),
    (b"\0\0\0\x0cjP  ", 0, "JPEG 2000"),
    (b"\x76\x2f\x31\x01", 0, "OpenEXR"),
    (b"SIMPLE  =", 0, "FITS"),
    (b"\x89HDF", 0, "HDF5"),
    (b"DICM", 128, "DICOM"),
)

# No pixel of a supported format takes more bytes than 8 float64 samples; metadata come on top.
_BYTES_PER_PIXEL = 64
_METADATA_BYTES = 2**28


def read_picture(
    path: str | os.PathLike[str],
    value_range: tuple[float, float] | None = None,
    index: int | str | None = None,
    max_pixels: int | None = None,
) -> Picture:
    """Read one source image.

    PNG, JPEG, BMP, TIFF, WebP and NPY are told apart by content. 8- and 16-bit integers and
    floats keep their depth; 1-, 2- and 4-bit images become uint8 at full scale, palettes RGB,
    transparent colours alpha; CMYK and YCbCr become RGB. Exif and TIFF orientation is applied.

    Parameters
    ----------
    path : path
        The file; messages name it as given here.
    value_range : (float, float), optional
        The stored values that stand for 0 and 1. By default that is the full scale of uint8
        and uint16, 0 to 1 for floats, and 0 to 2**bits - 1 for a TIFF of 10, 12 or 14 bits.
    index : int or str, optional
        Position among the sources, counted from 0, or what else `--range` calls it; messages
        name the option by it.
    max_pixels : int, optional
        Refuse larger images before decoding them. By default the environment variable
        FUSIONKIT_MAX_PIXELS, or 2**28.

    Returns
    -------
    Picture
        With `sha256` of the file, and `notes` on what the person should know.

    Raises
    ------
    ImageError
        If the file cannot be read or used as one image.
    UsageError
        If LO of the range is not below HI, or FUSIONKIT_MAX_PIXELS is no positive integer.
    """
    name = os.fspath(path)
    limit = _default_limit() if max_pixels is None else max_pixels
    raw = Raw(name, _read_bytes(name, limit), limit)
    decoded = _decoder(raw)(raw)
    return checked_picture(
        decoded.pixels,
        decoded.alpha,
        name,
        value_range=value_range,
        stored_range=decoded.stored_range,
        index=index,
        notes=decoded.notes,
        icc=decoded.icc,
        sha256=hashlib.sha256(raw.data).hexdigest(),
    )


def _default_limit() -> int:
    text = os.environ.get(MAX_PIXELS_VARIABLE)
    if text is None:
        return DEFAULT_MAX_PIXELS
    if not text.isdecimal() or int(text) == 0:
        raise UsageError(f"{MAX_PIXELS_VARIABLE}={text}: expected a number of pixels")
    return int(text)


def _read_bytes(name: str, max_pixels: int) -> bytes:
    try:
        status = os.stat(name)
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{name}: this is a folder: give an image file")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{name}: this is not a regular file: save the image to one first")
        if status.st_size > max_pixels * _BYTES_PER_PIXEL + _METADATA_BYTES:
            raise ImageError(
                f"{name}: {status.st_size} bytes are more than an image of {max_pixels} pixels "
                f"takes: if that is right, raise the limit with the environment variable "
                f"{MAX_PIXELS_VARIABLE}"
            )
        with open(name, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise ImageError(f"{name}: there is no such file: check the path") from None
    except PermissionError:
        raise ImageError(f"{name}: you may not read it: check its permissions") from None
    except OSError as cause:
        raise ImageError(f"{name}: it cannot be read: {cause.strerror}") from cause
    except ValueError as cause:  # a path with a null byte
        raise ImageError(f"{name!r}: this is not a path: {cause}") from None
    if not data:
        raise ImageError(f"{name}: the file is empty: get it anew")
    return data


def _decoder(raw: Raw) -> Callable[[Raw], Decoded]:
    for signature, decoder in _DECODERS:
        if raw.data.startswith(signature):
            return decoder
    if raw.data[:4] == b"RIFF" and raw.data[8:12] == b"WEBP":
        return decode_webp
    for signature, at, format_name in _OTHER_FORMATS:
        if raw.data[at : at + len(signature)] == signature:
            raise raw.error(
                f"{format_name} files are not supported: convert it to one of {SUPPORTED}"
            )
    raise raw.error(f"the content is no image of a supported format: give one of {SUPPORTED}")
