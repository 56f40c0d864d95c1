"""Writing images and records: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fusionkit.errors import ImageError, UsageError
from fusionkit.imaging._encode import FORMATS, FileFormat, encode


def check_output(
    path: str | os.PathLike[str],
    dtype: DTypeLike,
    has_alpha: bool = False,
    *,
    size: tuple[int, int] | None = None,
    overwrite: bool = False,
) -> None:
    """Check, before anything is computed, that an image can be written there.

    Parameters
    ----------
    path : path
        Its extension, in any case, names the format: .png, .jpg, .jpeg, .bmp, .tif, .tiff,
        .webp or .npy.
    dtype : dtype
        Depth of the values. PNG holds uint8 and uint16, JPEG, BMP and WebP uint8, TIFF and
        NPY everything.
    has_alpha : bool
        Whether there is an alpha channel, which JPEG and BMP do not hold.
    size : (int, int), optional
        Height and width, for the formats with a limit.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    ImageError
        If the format cannot hold the image.
    UsageError
        If the extension is unknown, the folder is missing or not writable, the path is a
        folder, or the file exists and `overwrite` is false.
    """
    _fitting_format(path, np.dtype(dtype), has_alpha, size)
    check_destination(path, overwrite=overwrite)


def check_destination(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Raise a UsageError unless a file can be made at `path`, by making one beside it."""
    name = os.fspath(path)
    folder = os.path.dirname(name) or "."
    if os.path.isdir(name):
        raise UsageError(f"{name}: this is a folder: give the name of a file in it")
    if not os.path.isdir(folder):
        raise UsageError(f"{name}: the folder {folder} does not exist: make it first")
    if os.path.exists(name) and not overwrite:
        raise _exists(name)
    with _explained(name):
        temporary, descriptor = _make_temporary(_target(name))
        os.close(descriptor)
        os.unlink(temporary)


def write_picture(
    path: str | os.PathLike[str],
    pixels: NDArray[Any],
    alpha: NDArray[Any] | None = None,
    icc: bytes | None = None,
    overwrite: bool = False,
) -> None:
    """Write an image in the format that the extension names, whole or not at all.

    The same values give the same bytes: nothing of the time or the machine is written.
    PNG, TIFF, WebP and BMP are lossless; JPEG has quality 95 and 4:4:4 chroma; WebP holds grey
    as equal channels.

    Parameters
    ----------
    path : path
        See `check_output`.
    pixels : array, (H, W) grey or (H, W, 3) RGB
        Stored values; see `from_unit`.
    alpha : array, (H, W), optional
        Same dtype, over its full scale.
    icc : bytes, optional
        Colour profile; kept by PNG, JPEG, TIFF and WebP, and left out where it describes
        another number of channels than are written.
    overwrite : bool
        Whether an existing file may be replaced. If not, a file that appears while this
        function runs is not replaced either.

    Raises
    ------
    ImageError, UsageError
        As `check_output` does, and if the disk refuses.
    ValueError
        If the shapes or dtypes of the arrays are not as described.
    """
    if pixels.ndim != 2 and pixels.shape[2:] != (3,):
        raise ValueError(f"pixels of shape {pixels.shape}, expected (H, W) or (H, W, 3)")
    if alpha is not None and (alpha.shape, alpha.dtype) != (pixels.shape[:2], pixels.dtype):
        raise ValueError(f"alpha {alpha.dtype} {alpha.shape} does not fit the pixels")
    height, width = pixels.shape[:2]
    file_format = _fitting_format(path, pixels.dtype, alpha is not None, (height, width))
    data = encode(file_format, pixels, alpha, icc)
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(data)


def write_text(path: str | os.PathLike[str], text: str, overwrite: bool = False) -> None:
    """Write UTF-8 text with unchanged line ends, whole or not at all; see `atomic_write`."""
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(text.encode("utf-8"))


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`, which takes that name when the block ends well.

    If the block raises, KeyboardInterrupt included, the temporary file is removed and
    whatever was at `path` is untouched. A symbolic link at `path` is followed.

    Raises
    ------
    UsageError
        If the file system refuses, or `path` exists at the end and `overwrite` is false.
    """
    name = os.fspath(path)
    target = _target(name)
    with _explained(name):
        temporary, descriptor = _make_temporary(target)
        try:
            with open(descriptor, "wb") as file:
                yield file
            if overwrite:
                os.replace(temporary, target)
            else:
                try:
                    _move_to_free_name(temporary, target)
                except FileExistsError:
                    raise _exists(name) from None
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def _fitting_format(
    path: str | os.PathLike[str],
    dtype: np.dtype[Any],
    has_alpha: bool,
    size: tuple[int, int] | None,
) -> FileFormat:
    name = os.fspath(path)
    extension = Path(name).suffix.lower()
    if extension not in FORMATS:
        raise UsageError(
            f"{name}: the extension {extension or '(none)'} names no format that can be written: "
            f"use {', '.join(FORMATS)}"
        )
    file_format = FORMATS[extension]
    if file_format.dtypes is not None and dtype.name not in file_format.dtypes:
        depths = " or ".join(name.removeprefix("uint") for name in file_format.dtypes)
        others = _extensions(dtype, has_alpha)
        raise ImageError(
            f"{name}: {file_format.name} cannot hold {dtype.name} values: "
            f"give --depth {depths}, or use {others}"
        )
    if has_alpha and not file_format.alpha:
        raise ImageError(
            f"{name}: {file_format.name} cannot hold the alpha channel: "
            f"use {_extensions(dtype, has_alpha)}"
        )
    if size is not None and max(size) > file_format.longest_side:
        raise ImageError(
            f"{name}: {size[1]}x{size[0]} pixels are too many for {file_format.name}, "
            f"which holds {file_format.longest_side} a side: use .tif"
        )
    return file_format


def _extensions(dtype: np.dtype[Any], has_alpha: bool) -> str:
    """List the extensions that could hold the image."""
    fitting = [
        extension
        for extension, file_format in FORMATS.items()
        if (file_format.dtypes is None or dtype.name in file_format.dtypes)
        and (file_format.alpha or not has_alpha)
    ]
    return ", ".join(fitting)


def _target(name: str) -> str:
    return os.path.realpath(name)


def _make_temporary(target: str) -> tuple[str, int]:
    """Make an empty file beside the target, with the permissions that the umask gives."""
    temporary = os.path.join(os.path.dirname(target), f".fusionkit-{secrets.token_hex(8)}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return temporary, os.open(temporary, flags, 0o666)


def _move_to_free_name(temporary: str, target: str) -> None:
    """Rename without replacing; FileExistsError if the name is taken by then."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:
        # No hard links on this file system: claim the name with an empty file, then fill it.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            os.replace(temporary, target)
        except BaseException:
            os.unlink(target)
            raise


def _exists(name: str) -> UsageError:
    return UsageError(f"{name}: this file exists: give another name, or --overwrite")


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what the file system raises into one line."""
    try:
        yield
    except OSError as cause:
        raise UsageError(
            f"{name}: it cannot be written: {cause.strerror or cause}: "
            "check the folder's permissions and space"
        ) from cause
