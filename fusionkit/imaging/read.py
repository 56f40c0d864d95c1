"""Reading image files: formats by content, every depth kept, every problem one line."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterator

from fusionkit.contract.paths import refuse_url, split_part
from fusionkit.contract.reading import lacking, readers
from fusionkit.errors import ImageError, UsageError
from fusionkit.imaging import _npy, _png
from fusionkit.imaging._npy import decode_npy
from fusionkit.imaging._pillow import decode_bmp, decode_jpeg, decode_webp
from fusionkit.imaging._png import decode_png
from fusionkit.imaging._raw import MAX_PIXELS_VARIABLE, Raw
from fusionkit.imaging._sniff import EXTENSIONS, HEAD, SUPPORTED, other_format
from fusionkit.imaging._tiff import decode_tiff, decode_tiff_page
from fusionkit.imaging._tiff_file import SIGNATURES as TIFF_SIGNATURES
from fusionkit.imaging.decoded import Decoded
from fusionkit.imaging.making import picture_from_decoded
from fusionkit.imaging.picture import Picture
from fusionkit.imaging.plugged import (
    decoder_by_content,
    decoder_by_name,
    decoder_of_part,
)
from fusionkit.imaging.values import ValueRange

DEFAULT_MAX_PIXELS = 2**28
"""Size limit unless the environment variable FUSIONKIT_MAX_PIXELS sets another."""

_DECODERS: tuple[tuple[bytes, int, str, Callable[[Raw], Decoded]], ...] = (
    (_png.SIGNATURE, 0, "PNG", decode_png),
    (b"\xff\xd8\xff", 0, "JPEG", decode_jpeg),
    (b"BM", 0, "BMP", decode_bmp),
    *((signature, 0, "TIFF", decode_tiff) for signature in TIFF_SIGNATURES),
    (b"WEBP", 8, "WebP", decode_webp),
    (_npy.SIGNATURE, 0, "NPY", decode_npy),
)
"""Signature, where it stands, name, decoder."""

# No pixel of a supported format takes more bytes than 8 float64 samples; metadata come on top.
_BYTES_PER_PIXEL = 64
_METADATA_BYTES = 2**28


def read_picture(
    path: str | os.PathLike[str],
    value_range: ValueRange | None = None,
    index: int | str | None = None,
    max_pixels: int | None = None,
    masks: bool = False,
) -> Picture:
    """Read one source image.

    PNG, JPEG, BMP, TIFF, WebP and NPY are told apart by content; plugins may read other formats.
    8- and 16-bit integers and floats keep their depth; 1-, 2- and 4-bit images become uint8 at
    full scale, palettes RGB, transparent colours alpha; CMYK and YCbCr become RGB. Exif and TIFF
    orientation is applied.

    Parameters
    ----------
    path : path
        The file; messages name it as given here. ``FILE#PART`` means a part of it: the page of
        a TIFF, counted from 1, or its place along axes, ``z=3,c=1``; or what a plugin's reader
        calls so.
    value_range : (float, float) or "own", optional
        The stored values that stand for 0 and 1, or those that it spans itself. By default
        that is the full scale of uint8 and uint16, 0 to 1 for floats, and 0 to 2**bits - 1 for
        a TIFF of 10, 12 or 14 bits.
    index : int or str, optional
        Position among the sources, counted from 0, or what else `--range` calls it; messages
        name the option by it.
    max_pixels : int, optional
        Refuse larger images before decoding them. By default the environment variable
        FUSIONKIT_MAX_PIXELS, or 2**28.
    masks : bool
        Whether pixels may hold NaN or what the file declares to be no data, and are masked;
        otherwise that is an error.

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
    raw = load(path, max_pixels)
    return picture_from_bytes(raw.data, raw.name, value_range, index, raw.max_pixels, masks)


def load(path: str | os.PathLike[str], max_pixels: int | None = None) -> Raw:
    """Read a file whose beginning shows one of our formats; errors as for `read_picture`."""
    name = os.fspath(path)
    limit = default_max_pixels() if max_pixels is None else max_pixels
    return Raw(name, _read_bytes(name, limit), limit)


def picture_from_bytes(
    data: bytes,
    name: str,
    value_range: ValueRange | None = None,
    index: int | str | None = None,
    max_pixels: int | None = None,
    masks: bool = False,
) -> Picture:
    """Read one source image from the bytes of its file, as `read_picture` does from a path."""
    format_name, decode = _decoder(name, data[:HEAD])
    raw = Raw(name, data, default_max_pixels() if max_pixels is None else max_pixels)
    with enough_memory(name):
        with raw.decoding(format_name):
            decoded = decode(raw)
        digest = hashlib.sha256(data).hexdigest()
        return picture_from_decoded(decoded, name, value_range, index, masks, digest)


@contextlib.contextmanager
def enough_memory(name: str) -> Iterator[None]:
    """Say of which file there was too much."""
    try:
        yield
    except MemoryError:
        raise ImageError(f"{name}: there is not enough memory to read it") from None


def default_max_pixels() -> int:
    """Return the limit that the environment sets, or DEFAULT_MAX_PIXELS."""
    text = os.environ.get(MAX_PIXELS_VARIABLE)
    if text is None:
        return DEFAULT_MAX_PIXELS
    if not text.isdecimal() or int(text) == 0:
        raise UsageError(f"{MAX_PIXELS_VARIABLE}={text}: expected a number of pixels")
    return int(text)


def _read_bytes(name: str, max_pixels: int) -> bytes:
    """Read a file whose beginning shows one of our formats."""
    if not name:
        raise ImageError("an empty name is no path: give an image file")
    try:
        file_name = split_part(name)[0]
        status = os.stat(file_name)
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(
                f"{name}: this is a folder: give an image file; one that holds a series of slices "
                "is a volume, which --slices and --grid first take"
            )
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{name}: this is not a regular file: save the image to one first")
        with open(file_name, "rb", buffering=0) as file:  # a buffer would mean a copy of it all
            head = file.read(HEAD)
            _decoder(name, head)
            if status.st_size > max_pixels * _BYTES_PER_PIXEL + _METADATA_BYTES:
                raise ImageError(
                    f"{name}: {status.st_size} bytes are more than an image of {max_pixels} "
                    f"pixels takes: if that is right, raise the limit with the environment "
                    f"variable {MAX_PIXELS_VARIABLE}"
                )
            file.seek(0)
            with enough_memory(name):
                return file.read()
    except FileNotFoundError:
        refuse_url(name)
        raise ImageError(f"{name}: there is no such file: check the path") from None
    except PermissionError:
        raise ImageError(f"{name}: you may not read it: check its permissions") from None
    except OSError as cause:
        raise ImageError(f"{name}: it cannot be read: {cause.strerror}") from cause
    except ValueError as cause:  # a path with a null byte
        raise ImageError(f"{name!r}: this is not a path: {cause}") from None


def _decoder(name: str, head: bytes) -> tuple[str, Callable[[Raw], Decoded]]:
    if not head:
        raise ImageError(f"{name}: the file is empty: get it anew")
    file, part = split_part(name)
    if part:
        return _decoder_of_part(name, part, head)
    ending = os.path.splitext(file)[1].lower()
    # Formats such as camera raw are TIFF by their first bytes: a reader of theirs comes first.
    plugged = decoder_by_name(name, head) if ending and ending not in EXTENSIONS else None
    if plugged is not None:
        return plugged
    for signature, at, format_name, decoder in _DECODERS:
        if head.startswith(signature, at):
            return format_name, decoder
    plugged = decoder_by_content(name, head)
    if plugged is not None:
        return plugged
    if need := lacking(name):
        raise ImageError(f"{name}: {need}")
    other = other_format(name, head)
    if other is not None:
        raise ImageError(f"{name}: {other}")
    raise ImageError(
        f"{name}: the content is no image of a supported format: give one of "
        f"{', '.join([SUPPORTED, *(each.qualified for each in readers())])}"
    )


def _decoder_of_part(name: str, part: str, head: bytes) -> tuple[str, Callable[[Raw], Decoded]]:
    """Return what decodes a part of a file: a page of a TIFF, or what a reader knows."""
    plugged = decoder_of_part(name, head)
    if plugged is not None:
        return plugged
    if need := lacking(name):
        raise ImageError(f"{name}: {need}")
    if not head.startswith(TIFF_SIGNATURES):
        whole = name[: -len(part) - 1]
        raise ImageError(f"{name}: parts of such a file cannot be asked for: give {whole}")
    return "TIFF", decode_tiff_page
