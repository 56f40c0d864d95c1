"""Writing images in the format that the extension names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fusionkit.contract.reading import lacking, writers_of, written_extensions
from fusionkit.errors import ImageError, UsageError
from fusionkit.imaging._encode import FORMATS, QUALITY, FileFormat, encode, encode_bands
from fusionkit.imaging.files import atomic_write, check_destination
from fusionkit.imaging.metadata import NO_METADATA, Metadata
from fusionkit.imaging.plugged import format_by_name
from fusionkit.imaging.volume import Volume

_DEPTHS = {"8": "uint8", "16": "uint16", "float": "float32"}


def check_output(
    path: str | os.PathLike[str],
    dtype: DTypeLike,
    has_alpha: bool = False,
    *,
    size: tuple[int, int] | None = None,
    channels: int = 1,
    overwrite: bool = False,
) -> None:
    """Check, before anything is computed, that an image can be written there.

    Parameters
    ----------
    path : path
        Its extension, in any case, names the format: .png, .jpg, .jpeg, .bmp, .tif, .tiff,
        .webp or .npy, or one that a plugin writes.
    dtype : dtype
        Depth of the values. PNG holds uint8 and uint16, JPEG, BMP and WebP uint8, TIFF and
        NPY everything.
    has_alpha : bool
        Whether there is an alpha channel, which JPEG and BMP do not hold.
    size : (int, int), optional
        Height and width, for the formats with a limit.
    channels : int
        1, or 3 for colour, which some formats of plugins do not hold.
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
    check_fits(path, dtype, has_alpha, size, channels)
    check_destination(path, overwrite=overwrite)


def check_fits(
    path: str | os.PathLike[str],
    dtype: DTypeLike,
    has_alpha: bool = False,
    size: tuple[int, int] | None = None,
    channels: int = 1,
) -> None:
    """Check what `check_output` does of the format alone, wherever the file is to be."""
    _fitting_format(path, np.dtype(dtype), has_alpha, size, channels)


def write_picture(
    path: str | os.PathLike[str],
    pixels: NDArray[Any],
    alpha: NDArray[Any] | None = None,
    icc: bytes | None = None,
    overwrite: bool = False,
) -> None:
    """Write an image in the format that the extension names, whole or not at all.

    Parameters
    ----------
    path, pixels, alpha, icc
        See `encode_picture`.
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
    data = encode_picture(path, pixels, alpha, icc)
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(data)


def encode_picture(
    path: str | os.PathLike[str],
    pixels: NDArray[Any],
    alpha: NDArray[Any] | None = None,
    icc: bytes | None = None,
    quality: int = QUALITY,
    metadata: Metadata = NO_METADATA,
    stored_range: tuple[float, float] | None = None,
    no_data: float | None = None,
) -> bytes:
    """Return the bytes of an image in the format that the extension names.

    The same values give the same bytes: nothing of the time or the machine is in them.
    PNG, TIFF, WebP and BMP are lossless; JPEG has 4:4:4 chroma; WebP holds grey as equal
    channels.

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
    quality : int
        Of JPEG, from 1 to 100.
    metadata : Metadata
        Written as far as the format holds it; see `held`.
    stored_range : (float, float), optional
        The values that stand for 0 and 1, for formats that can say so.
    no_data : float, optional
        The value that means that there is none, for formats that can say so beside metadata.

    Raises
    ------
    ImageError, UsageError
        If the format cannot hold the image, or the extension is unknown.
    ValueError
        If the shapes or dtypes of the arrays are not as described.
    """
    if pixels.ndim != 2 and pixels.shape[2:] != (3,):
        raise ValueError(f"pixels of shape {pixels.shape}, expected (H, W) or (H, W, 3)")
    if alpha is not None and (alpha.shape, alpha.dtype) != (pixels.shape[:2], pixels.dtype):
        raise ValueError(f"alpha {alpha.dtype} {alpha.shape} does not fit the pixels")
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else 3
    file_format = _fitting_format(path, pixels.dtype, alpha is not None, (height, width), channels)
    return encode(file_format, pixels, alpha, icc, quality, metadata, stored_range, no_data)


def encode_planes(
    path: str | os.PathLike[str], planes: NDArray[Any], metadata: Metadata = NO_METADATA
) -> bytes:
    """Return the bytes of an image of bands, (N, H, W), in the format that the extension names.

    Raises
    ------
    ImageError, UsageError
        The format cannot hold it, or the extension is unknown.
    """
    check_bands(path, len(planes))
    return encode_bands(_format(path), planes, metadata)


def check_bands(path: str | os.PathLike[str], count: int) -> None:
    """Raise ImageError if the format that the extension names holds no image of bands."""
    if not _format(path).bands:
        raise ImageError(
            f"{os.fspath(path)}: {_format(path).name} cannot hold {count} bands: use .tif or .npy"
        )


def volume_writer(path: str | os.PathLike[str]) -> Callable[[Volume, BinaryIO], None]:
    """Return what writes a volume into an open file of the format that the extension names.

    Raises
    ------
    UsageError
        It holds no volumes.
    """
    found = _format(path)
    if found.volume is None:
        raise UsageError(
            f"{os.fspath(path)}: {found.name} holds one image: a volume goes into .nii or .nii.gz, "
            "or, where it is the only one, into a folder of slices"
        )
    return found.volume


def declares_no_data(path: str | os.PathLike[str], channels: int) -> bool:
    """Whether a file of that name says by itself which grey values mean that there is none."""
    return _format(path).no_data and channels == 1


def held(
    path: str | os.PathLike[str], icc: bytes | None, channels: int, metadata: Metadata
) -> tuple[bytes | None, Metadata]:
    """Return what of these a file of that name holds, beside an image of 1 or 3 channels."""
    file_format = _format(path)
    return file_format.profile(icc, channels), file_format.held(metadata)


def _fitting_format(
    path: str | os.PathLike[str],
    dtype: np.dtype[Any],
    has_alpha: bool,
    size: tuple[int, int] | None,
    channels: int,
) -> FileFormat:
    name, file_format = os.fspath(path), _format(path)
    if file_format.dtypes is not None and dtype.name not in file_format.dtypes:
        depths = " or ".join(flag for flag, kept in _DEPTHS.items() if kept in file_format.dtypes)
        others = _extensions(dtype, has_alpha)
        raise ImageError(
            f"{name}: {file_format.name} cannot hold {dtype.name} values: "
            f"give --depth {depths}, or use {others}"
        )
    if channels > 1 and not file_format.colour:
        raise ImageError(
            f"{name}: {file_format.name} holds grey values alone: give --chroma none, or use "
            f"{_extensions(dtype, has_alpha)}"
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


def is_written(path: str | os.PathLike[str]) -> bool:
    """Whether a name's extension is that of a format that can be written."""
    return Path(path).suffix.lower() in FORMATS or bool(writers_of(os.fspath(path)))


def written() -> tuple[str, ...]:
    """Return the extensions of the formats that can be written, those of plugins too."""
    return (*FORMATS, *written_extensions())


def _format(path: str | os.PathLike[str]) -> FileFormat:
    extension = Path(path).suffix.lower()
    found = FORMATS.get(extension)
    if found is None:
        found = format_by_name(os.fspath(path))
    if found is None and (need := lacking(os.fspath(path))):
        raise UsageError(f"{os.fspath(path)}: {need}")
    if found is None:
        raise UsageError(
            f"{os.fspath(path)}: the extension {extension or '(none)'} names no format that can "
            f"be written: use {', '.join(written())}"
        )
    return found


def _extensions(dtype: np.dtype[Any], has_alpha: bool) -> str:
    """List the extensions that could hold the image."""
    fitting = [
        extension
        for extension, file_format in FORMATS.items()
        if (file_format.dtypes is None or dtype.name in file_format.dtypes)
        and (file_format.alpha or not has_alpha)
    ]
    return ", ".join(fitting)
