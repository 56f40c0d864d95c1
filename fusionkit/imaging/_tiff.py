"""TIFF, through tifffile, which keeps every depth."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.imaging._raw import Decoded, Raw, upright

# Values of PhotometricInterpretation, Compression and ExtraSamples (TIFF 6.0).
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_NAMES = {4: "mask", 8: "Lab", 9: "Lab", 10: "Lab", 32803: "raw sensor mosaic", 34892: "linear raw"}
_UNCOMPRESSED = 1
_JPEG_COMPRESSIONS = (6, 7)
_ASSOCIATED, _UNASSOCIATED = 1, 2
_ORIENTATION, _ICC_PROFILE, _IMAGE_DEPTH = 274, 34675, 32997
_MOST_PAGES = 32  # one image with its pyramid and masks
_MOST_SAMPLES = 8  # colour, alpha and some extras; more would be a stack of bands

_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}


def decode_tiff(raw: Raw) -> Decoded:
    """Decode a TIFF that holds one image."""
    from tifffile import TiffFile

    with raw.decoding("TIFF"), _quiet_tifffile(), TiffFile(BytesIO(raw.data)) as tiff:
        page = _only_page(raw, tiff)
        _check_page(raw, page)
        planes = page.asarray(squeeze=False)  # (planes, 1, H, W, samples of a plane)
        # Samples become the last axis, whether they were stored together or plane by plane.
        samples = np.moveaxis(planes[:, 0], 0, -2)
        samples = samples.reshape(*samples.shape[:2], -1)
        return _to_picture(raw, page, samples)


def _only_page(raw: Raw, tiff: Any) -> Any:
    """Return the one full-size image; thumbnails and masks beside it do not count."""
    # A damaged list of pages may lead round in a circle, so it is followed only so far.
    pages = list(islice(tiff.pages, _MOST_PAGES))
    images = [page for page in pages if not (page.is_reduced or page.is_mask)]
    if not images:
        raise raw.damaged("TIFF", "it holds no full-size image")
    # ImageJ writes a stack behind the description of its first image.
    stack = int((tiff.imagej_metadata or {}).get("images", 1)) if tiff.is_imagej else 1
    if len(images) > 1 or stack > 1:
        raise raw.error("this TIFF holds several images: save the one you mean")
    return images[0]


def _check_page(raw: Raw, page: Any) -> None:
    """Check everything that can be seen before decoding."""
    raw.check_size(page.imagewidth, page.imagelength)
    if page.photometric not in _COLOURS:
        kind = _NAMES.get(page.photometric, str(page.photometric))
        raise raw.error(f"{kind} TIFFs are not supported: save it as grey or RGB")
    if _tag(page, _IMAGE_DEPTH, 1) != 1:
        raise raw.error("this TIFF holds a volume: save the one slice you mean")
    if page.samplesperpixel > _MOST_SAMPLES:
        raise raw.error(f"it has {page.samplesperpixel} channels: save it as grey or RGB")
    if page.imagewidth < 1 or page.imagelength < 1:
        raise raw.damaged("TIFF", "it has no pixels")
    if len(page.dataoffsets) != len(page.databytecounts):
        raise raw.damaged("TIFF", "the list of its strips or tiles is broken")
    # Some codecs fill up what is missing, so a file that was cut shows here only.
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        if offset == 0 or count == 0:
            raise raw.damaged("TIFF", "some of its strips or tiles are missing")
        if offset + count > len(raw.data):
            raise raw.damaged("TIFF")


def _to_picture(raw: Raw, page: Any, samples: NDArray[Any]) -> Decoded:
    """Turn decoded (H, W, S) samples into pixels and alpha."""
    notes: list[str] = []
    icc = _tag(page, _ICC_PROFILE, None)
    bits = page.bitspersample
    if not isinstance(bits, int):
        raise raw.error("its channels have different depths: save it with one")
    colours = _COLOURS[page.photometric]
    colour, extra = samples[..., :colours], samples[..., colours:]
    alpha, associated = _alpha(raw, page, extra, notes)

    stored_range = None
    if alpha is not None:
        alpha = _at_full_scale(alpha, bits)
    if page.photometric == _PALETTE:
        colour = _look_up(page, colour[..., 0])
    elif bits <= 8:
        colour = _at_full_scale(colour, bits)
    elif samples.dtype.kind == "u" and bits < 8 * samples.dtype.itemsize:
        stored_range = (0.0, 2.0**bits - 1)  # the 12 bits of a camera stay those 12 bits
    top = _top(colour.dtype, stored_range)

    if page.photometric == _WHITE_IS_ZERO:
        colour = _inverted(raw, colour, top)
    elif page.photometric == _CMYK:
        colour = _from_cmyk(raw, colour, top)
        notes.append("converted from CMYK to RGB without a colour profile")
        icc = None  # it describes the inks
    elif page.photometric == _YCBCR and page.compression not in _JPEG_COMPRESSIONS:
        colour = _from_ycbcr(raw, colour)
    if associated and alpha is not None:
        colour = _unpremultiplied(colour, alpha, stored_range)
        notes.append("its colours were stored multiplied by alpha, and have been divided by it")

    orientation = int(_tag(page, _ORIENTATION, 1))
    pixels = colour[..., 0] if colour.shape[-1] == 1 else colour
    return Decoded(
        upright(pixels, orientation),
        None if alpha is None else upright(alpha, orientation),
        icc,
        tuple(notes),
        stored_range,
    )


def _alpha(
    raw: Raw, page: Any, extra: NDArray[Any], notes: list[str]
) -> tuple[NDArray[Any] | None, bool]:
    """Find alpha among the extra samples, and whether the colours are multiplied by it."""
    kinds = [int(kind) for kind in page.extrasamples]
    for at, kind in enumerate(kinds[: extra.shape[-1]]):
        if kind in (_ASSOCIATED, _UNASSOCIATED):
            if len(kinds) > 1:
                notes.append(f"{len(kinds) - 1} extra channels beside alpha are ignored")
            return extra[..., at], kind == _ASSOCIATED
    if extra.shape[-1] > 1:
        raise raw.error(
            f"it has {page.samplesperpixel} channels, none of them marked as alpha: "
            "save it as grey or RGB"
        )
    if extra.shape[-1]:
        notes.append("an extra channel that is not marked as alpha is ignored")
    return None, False


def _at_full_scale(samples: NDArray[Any], bits: int) -> NDArray[Any]:
    """Spread unsigned samples over the full scale of the dtype that holds them."""
    if samples.dtype.kind == "b":
        return samples.astype(np.uint8) * 255
    if samples.dtype.kind != "u" or bits == 8 * samples.dtype.itemsize:
        return samples
    top = np.iinfo(samples.dtype).max
    full: NDArray[Any] = np.rint(samples * (top / (2**bits - 1))).astype(samples.dtype)
    return full


def _look_up(page: Any, indices: NDArray[Any]) -> NDArray[np.uint8]:
    """Replace palette indices by colours; palettes store 16 bits, of which 8 are meant."""
    palette = page.colormap.T
    # Some writers fill the low byte only.
    palette = palette >> 8 if palette.max() > 255 else palette
    colours: NDArray[np.uint8] = palette.astype(np.uint8)[indices.astype(np.intp)]
    return colours


def _top(dtype: np.dtype[Any], stored_range: tuple[float, float] | None) -> float:
    """Return the stored value of full intensity."""
    if stored_range is not None:
        return stored_range[1]
    return float(np.iinfo(dtype).max) if dtype.kind in "ui" else 1.0


def _inverted(raw: Raw, colour: NDArray[Any], top: float) -> NDArray[Any]:
    if colour.dtype.kind != "u":
        raise raw.error(
            f"it counts {colour.dtype} values from white, which has no defined range: "
            "save it with black as zero"
        )
    inverted: NDArray[Any] = colour.dtype.type(top) - colour
    return inverted


def _from_cmyk(raw: Raw, inks: NDArray[Any], top: float) -> NDArray[Any]:
    if inks.dtype.kind != "u":
        raise raw.error(f"CMYK of type {inks.dtype} is not supported: save it as RGB")
    light = top - inks.astype(np.float64)
    return np.rint(light[..., :3] * light[..., 3:] / top).astype(inks.dtype)


def _from_ycbcr(raw: Raw, samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert full-range BT.601 YCbCr, which JPEG-compressed TIFFs have undone already."""
    if samples.dtype != np.uint8:
        raise raw.error(f"YCbCr of type {samples.dtype} is not supported: save it as RGB")
    y, cb, cr = np.moveaxis(samples.astype(np.float64), -1, 0)
    red, blue = y + 1.402 * (cr - 128), y + 1.772 * (cb - 128)
    green = (y - 0.299 * red - 0.114 * blue) / 0.587
    rgb: NDArray[np.float64] = np.rint(np.stack([red, green, blue], axis=-1))
    return rgb.clip(0, 255).astype(np.uint8)


def _unpremultiplied(
    colour: NDArray[Any], alpha: NDArray[Any], stored_range: tuple[float, float] | None
) -> NDArray[Any]:
    """Divide by alpha; where alpha is zero the colour is unknown and stays as it is."""
    opaque = float(np.iinfo(alpha.dtype).max) if alpha.dtype.kind in "ui" else 1.0
    share = np.where(alpha > 0, alpha / opaque, 1.0)[..., np.newaxis]
    divided = colour / share
    if colour.dtype.kind == "f":
        return divided.astype(colour.dtype)
    return np.clip(np.rint(divided), 0, _top(colour.dtype, stored_range)).astype(colour.dtype)


def _tag(page: Any, code: int, default: Any) -> Any:
    tag = page.tags.get(code)
    return default if tag is None else tag.value


@contextlib.contextmanager
def _quiet_tifffile() -> Iterator[None]:
    """Keep tifffile from logging what the ImageError says in one line."""
    logger = logging.getLogger("tifffile")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
