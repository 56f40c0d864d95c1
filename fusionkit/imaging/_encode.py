"""Encoding of images to the bytes of a file. The same values always give the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.imaging._png import insert_profile
from fusionkit.imaging.profiles import icc_channels

QUALITY = 95
"""Of JPEG, from 1 to 100, unless another is asked for."""


@dataclass(frozen=True)
class FileFormat:
    """What a format can hold, and how it is written.

    `dtypes` is None where every dtype of a Picture fits. `encode` takes samples (H, W) or
    (H, W, 2 to 4), a colour profile that fits them, or None, and, where `lossy`, a quality.
    """

    name: str
    dtypes: tuple[str, ...] | None
    alpha: bool
    longest_side: int
    encode: Callable[..., bytes]
    lossy: bool = False


def encode(
    file_format: FileFormat,
    pixels: NDArray[Any],
    alpha: NDArray[Any] | None = None,
    icc: bytes | None = None,
    quality: int = QUALITY,
) -> bytes:
    """Encode (H, W) or (H, W, 3) pixels with alpha, (H, W), beside them.

    A profile for another number of channels would make viewers show wrong colours or reject
    the file, so it is left out.
    """
    samples = pixels
    if alpha is not None:
        samples = np.concatenate([np.atleast_3d(pixels), alpha[..., np.newaxis]], axis=-1)
    if icc is not None and icc_channels(icc) != (1 if pixels.ndim == 2 else 3):
        icc = None
    samples = np.ascontiguousarray(samples)
    if file_format.lossy:
        return file_format.encode(samples, icc, quality)
    return file_format.encode(samples, icc)


def _png(samples: NDArray[Any], icc: bytes | None) -> bytes:
    import imagecodecs

    png = bytes(imagecodecs.png_encode(samples, level=6))
    return insert_profile(png, icc) if icc else png


def _jpeg(samples: NDArray[Any], icc: bytes | None, quality: int) -> bytes:
    # 4:4:4: the chroma was placed pixel by pixel, and half its resolution would undo that.
    return _pillow(samples, "JPEG", quality=quality, subsampling=0, icc_profile=icc)


def _bmp(samples: NDArray[Any], icc: bytes | None) -> bytes:
    return _pillow(samples, "BMP")  # Pillow writes no profile into a bitmap


def _webp(samples: NDArray[Any], icc: bytes | None) -> bytes:
    if samples.ndim == 2 or samples.shape[2] == 2:  # WebP has no grey: equal channels
        grey = samples if samples.ndim == 2 else samples[..., 0]
        samples = np.dstack([grey, grey, grey, *np.moveaxis(np.atleast_3d(samples), -1, 0)[1:]])
        icc = None
    # exact: colours under transparent pixels are kept too.
    return _pillow(samples, "WEBP", lossless=True, exact=True, icc_profile=icc or b"")


def _pillow(samples: NDArray[Any], pillow_format: str, **options: Any) -> bytes:
    from PIL import Image

    file = BytesIO()
    Image.fromarray(samples).save(file, pillow_format, **options)
    return file.getvalue()


def _tiff(samples: NDArray[Any], icc: bytes | None) -> bytes:
    from tifffile import imwrite

    channels = 1 if samples.ndim == 2 else samples.shape[2]
    file = BytesIO()
    imwrite(
        file,
        samples,
        photometric="minisblack" if channels < 3 else "rgb",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression="zlib",
        predictor=samples.dtype.kind != "f",
        iccprofile=icc,
        # tifffile's own description and Software tag would tie the bytes to its version.
        metadata=None,
        software=False,
    )
    return file.getvalue()


def _npy(samples: NDArray[Any], icc: bytes | None) -> bytes:
    file = BytesIO()
    np.save(file, samples, allow_pickle=False)
    return file.getvalue()


_EIGHT = ("uint8",)
_JPEG = FileFormat("JPEG", _EIGHT, alpha=False, longest_side=65500, encode=_jpeg, lossy=True)
_TIFF = FileFormat("TIFF", None, alpha=True, longest_side=2**31 - 1, encode=_tiff)

FORMATS = {
    ".png": FileFormat("PNG", ("uint8", "uint16"), True, 1_000_000, _png),  # libpng's own limit
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".bmp": FileFormat("BMP", _EIGHT, False, 2**31 - 1, _bmp),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".webp": FileFormat("WebP", _EIGHT, True, 16383, _webp),
    ".npy": FileFormat("NPY", None, True, 2**31 - 1, _npy),
}
"""The formats that can be written, by lower-case extension."""
