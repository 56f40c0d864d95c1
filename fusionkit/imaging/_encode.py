"""Encoding of images to the bytes of a file. The same values always give the same bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fusionkit.imaging._png import with_chunks
from fusionkit.imaging._raw import Raw
from fusionkit.imaging._tiff_file import first_directory
from fusionkit.imaging.metadata import EXIF_PARTS, NO_METADATA, PARTS, Metadata
from fusionkit.imaging.profiles import icc_channels
from fusionkit.imaging.volume import Volume

QUALITY = 95
"""Of JPEG, from 1 to 100, unless another is asked for."""

PNG_LEVEL = 1
"""Of Deflate, from 0 to 9: a quarter of the time of level 6, for files a twentieth larger."""

PNG_FILTER = "AVG"
"""The one filter of all rows: two thirds of the time of trying each, files 0 to 12% larger."""

_CLASSIC_TIFF = 2**32 - 2**25  # bytes of pixels, beside which there is room for all else
_STAND_IN = 1  # tifffile writes no tag that points at a directory: one of the next number, though


@dataclass(frozen=True)
class Beside:
    """What is written beside the pixels: a colour profile that fits them, metadata, a quality.

    `stored_range` and `no_data` say what values mean, where a format can tell that.
    """

    icc: bytes | None
    metadata: Metadata
    quality: int
    stored_range: tuple[float, float] | None = None
    no_data: float | None = None


@dataclass(frozen=True)
class FileFormat:
    """What a format can hold, and how it is written.

    `dtypes` is None where every dtype of a Picture fits, `metadata` names parts of Metadata,
    `bands` says whether it can hold images of any number of bands, `colour` of three, `no_data`
    whether it says of grey integers which mean none. `encode` takes samples (H, W) or
    (H, W, 2 to 4), and what is beside them; `volume` writes a volume into an open file.
    """

    name: str
    dtypes: tuple[str, ...] | None
    alpha: bool
    longest_side: int
    encode: Callable[[NDArray[Any], Beside], bytes]
    icc: bool = True
    metadata: tuple[str, ...] = EXIF_PARTS
    longest_exif: int = 2**31
    resolutions: tuple[float, float] = (0.0, math.inf)  # the coarsest and the finest, an inch
    bands: bool = False
    colour: bool = True
    no_data: bool = False
    volume: Callable[[Volume, BinaryIO], None] | None = None

    def profile(self, icc: bytes | None, channels: int) -> bytes | None:
        """Return the profile if the format holds it, beside colour of so many channels.

        One for another number would make viewers show wrong colours, or refuse the file.
        """
        return icc if self.icc and icc is not None and icc_channels(icc) == channels else None

    def held(self, metadata: Metadata) -> Metadata:
        """Return what the format holds of the metadata."""
        held = metadata.only(self.metadata)
        coarsest, finest = self.resolutions
        if not all(coarsest <= side <= finest for side in metadata.per_inch() or ()):
            held = held.only([part for part in PARTS if part != "resolution"])
        return held if len(held.block()) <= self.longest_exif else held.only(["resolution"])


def encode(
    file_format: FileFormat,
    pixels: NDArray[Any],
    alpha: NDArray[Any] | None = None,
    icc: bytes | None = None,
    quality: int = QUALITY,
    metadata: Metadata = NO_METADATA,
    stored_range: tuple[float, float] | None = None,
    no_data: float | None = None,
) -> bytes:
    """Encode (H, W) or (H, W, 3) pixels with alpha, (H, W), beside them."""
    samples = pixels
    if alpha is not None:
        samples = np.concatenate([np.atleast_3d(pixels), alpha[..., np.newaxis]], axis=-1)
    profile = file_format.profile(icc, 1 if pixels.ndim == 2 else 3)
    beside = Beside(profile, file_format.held(metadata), quality, stored_range, no_data)
    return file_format.encode(np.ascontiguousarray(samples), beside)


def encode_bands(
    file_format: FileFormat, planes: NDArray[Any], metadata: Metadata = NO_METADATA
) -> bytes:
    """Encode (N, H, W): a TIFF of N pages, metadata with the first, or an NPY array."""
    if file_format.encode is _npy:
        return _npy(np.ascontiguousarray(planes), Beside(None, NO_METADATA, QUALITY))
    return _tiff(
        np.ascontiguousarray(planes), Beside(None, file_format.held(metadata), QUALITY), True
    )


def _png(samples: NDArray[Any], beside: Beside) -> bytes:
    import imagecodecs

    row_filter = imagecodecs.PNG.FILTER[PNG_FILTER]
    png = bytes(imagecodecs.png_encode(samples, level=PNG_LEVEL, filter=row_filter))
    return with_chunks(png, beside.icc, beside.metadata)


def _jpeg(samples: NDArray[Any], beside: Beside) -> bytes:
    block = beside.metadata.block()
    exif = b"Exif\0\0" + block if block else b""
    options = {**_dpi(beside.metadata), "exif": exif, "icc_profile": beside.icc}
    # 4:4:4: the chroma was placed pixel by pixel, and half its resolution would undo that.
    return _pillow(samples, "JPEG", quality=beside.quality, subsampling=0, **options)


def _bmp(samples: NDArray[Any], beside: Beside) -> bytes:
    return _pillow(samples, "BMP", **_dpi(beside.metadata))


def _webp(samples: NDArray[Any], beside: Beside) -> bytes:
    icc = beside.icc
    if samples.ndim == 2 or samples.shape[2] == 2:  # WebP has no grey: equal channels
        grey = samples if samples.ndim == 2 else samples[..., 0]
        samples = np.dstack([grey, grey, grey, *np.moveaxis(np.atleast_3d(samples), -1, 0)[1:]])
        icc = None
    exif = beside.metadata.block()
    # exact: colours under transparent pixels are kept too.
    return _pillow(samples, "WEBP", lossless=True, exact=True, icc_profile=icc or b"", exif=exif)


def _dpi(metadata: Metadata) -> dict[str, tuple[float, float]]:
    """Return Pillow's option for a resolution, if there is one."""
    resolution = metadata.per_inch()
    return {} if resolution is None else {"dpi": resolution}


def _pillow(samples: NDArray[Any], pillow_format: str, **options: Any) -> bytes:
    from PIL import Image

    file = BytesIO()
    Image.fromarray(samples).save(file, pillow_format, **options)
    return file.getvalue()


def _tiff(samples: NDArray[Any], beside: Beside, paged: bool = False) -> bytes:
    from tifffile import imwrite

    channels = 1 if samples.ndim == 2 or paged else samples.shape[2]
    metadata, big = beside.metadata, samples.nbytes > _CLASSIC_TIFF
    _, pointers = metadata.below(0, big)
    stand_ins = {code + _STAND_IN: tag for code, tag in pointers.items()}
    tags = {**metadata.image, **metadata.geo, **stand_ins}
    resolution = metadata.per_inch()
    file = BytesIO()
    imwrite(
        file,
        samples,
        bigtiff=big,
        byteorder="<",
        photometric="minisblack" if channels < 3 else "rgb",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression="zlib",
        predictor=samples.dtype.kind != "f",
        iccprofile=beside.icc,
        resolution=resolution,
        resolutionunit=None if resolution is None else "inch",
        extratags=[(code, tag.kind, tag.count, tag.data, True) for code, tag in tags.items()],
        # tifffile's own description and Software tag would tie the bytes to its version.
        metadata=None,
        software=False,
    )
    return _with_directories(file.getvalue(), metadata) if pointers else file.getvalue()


def _with_directories(tiff: bytes, metadata: Metadata) -> bytes:
    """Append the directories of Exif and GPS to a TIFF, where tags stand in for their pointers."""
    tiff += bytes(len(tiff) % 2)
    page, _ = first_directory(Raw("", tiff, 0))
    below, pointers = metadata.below(len(tiff), page.big)
    file = bytearray(tiff + below)
    for code, tag in pointers.items():
        at = page.fields[code + _STAND_IN].at  # of the value; the code stands first
        entry = at - (12 if page.big else 8)
        file[entry : entry + 2] = code.to_bytes(2, "little")
        file[at : at + len(tag.data)] = tag.data
    return bytes(file)


def _npy(samples: NDArray[Any], beside: Beside) -> bytes:
    file = BytesIO()
    np.save(file, samples, allow_pickle=False)
    return file.getvalue()


_EIGHT = ("uint8",)
_INCH = 0.0254  # in metres, of which PNG and BMP count the pixels, in 32 bits
_BY_THE_METRE = (_INCH, _INCH * (2**31 - 1))
_JPEG = FileFormat(
    "JPEG", _EIGHT, False, 65500, _jpeg, longest_exif=65500, resolutions=(1.0, 65535.0)
)
_PNG = FileFormat(  # libpng's own limit of the sides
    "PNG", ("uint8", "uint16"), True, 1_000_000, _png, resolutions=_BY_THE_METRE
)
_BMP = FileFormat(
    "BMP",
    _EIGHT,
    False,
    2**31 - 1,
    _bmp,
    icc=False,
    metadata=("resolution",),
    resolutions=_BY_THE_METRE,
)
_TIFF = FileFormat("TIFF", None, True, 2**31 - 1, _tiff, metadata=(*EXIF_PARTS, "geo"), bands=True)

FORMATS = {
    ".png": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".bmp": _BMP,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".webp": FileFormat("WebP", _EIGHT, True, 16383, _webp),
    ".npy": FileFormat("NPY", None, True, 2**31 - 1, _npy, icc=False, metadata=(), bands=True),
}
"""The formats that can be written, by lower-case extension."""
