"""TIFF: from the stored samples of its one image to pixels and alpha."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fusionkit.contract.counting import number_of
from fusionkit.contract.paths import split_part
from fusionkit.imaging._raw import Raw
from fusionkit.imaging._tiff_axes import asked_pages, slices_of
from fusionkit.imaging._tiff_file import Directory
from fusionkit.imaging._tiff_jpeg import jpeg_decoder
from fusionkit.imaging._tiff_layout import JPEG, Layout, read_layout
from fusionkit.imaging._tiff_pages import (
    full_size_pages,
    only_page,
    refuse_hidden_stack,
    refuse_several_axes,
)
from fusionkit.imaging._tiff_samples import read_samples
from fusionkit.imaging.decoded import Decoded
from fusionkit.imaging.metadata import from_tiff
from fusionkit.imaging.values import bands

# Fields, and values of PhotometricInterpretation and ExtraSamples (TIFF 6.0).
_PHOTOMETRIC, _COLOUR_MAP, _EXTRA_SAMPLES = 262, 320, 338
_SUBSAMPLING, _IMAGE_DEPTH, _ICC_PROFILE, _GDAL_NO_DATA = 530, 32997, 34675, 42113
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_NAMES = {4: "mask", 8: "Lab", 9: "Lab", 10: "Lab"}
_ASSOCIATED, _UNASSOCIATED = 1, 2

_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}


def decode_tiff(raw: Raw) -> Decoded:
    """Decode a TIFF that holds one image."""
    return _decode(only_page(raw))


def decode_tiff_page(raw: Raw) -> Decoded:
    """Decode the image of a TIFF that its name asks for, ``FILE#PART``."""
    pages = full_size_pages(raw)
    asked = asked_pages(raw, pages, split_part(raw.name)[1])
    if len(asked) > 1:
        raise raw.error(f"these are {len(asked)} images: give them alone, as a stack of sources")
    return _decode(asked[0], alone=len(pages) == 1)


def decode_tiff_stack(raw: Raw) -> list[Decoded]:
    """Decode all images of a TIFF, or those that its name asks for."""
    pages = _stacked_pages(raw)
    if sum(sum(read_layout(page).sizes) for page in pages) > len(raw.data):
        raise raw.damaged("TIFF", "its pages overlap")
    return [_decode(page, alone=len(pages) == 1) for page in pages]


def decode_tiff_bands(raw: Raw) -> list[Decoded]:
    """Decode the bands of a TIFF: its pages, and all samples of each, alpha or not."""
    pages = _stacked_pages(raw)
    if sum(sum(read_layout(page).sizes) for page in pages) > len(raw.data):
        raise raw.damaged("TIFF", "its pages overlap")
    return [band for page in pages for band in _bands_of(page, alone=len(pages) == 1)]


def _stacked_pages(raw: Raw) -> list[Directory]:
    """Return the pages of a stack: all, which differ in one way, or those that are asked for."""
    pages, part = full_size_pages(raw), split_part(raw.name)[1]
    if part:
        return asked_pages(raw, pages, part)
    refuse_several_axes(raw, pages)
    return pages


def _bands_of(page: Directory, alone: bool) -> list[Decoded]:
    raw, photometric = page.raw, page.integer(_PHOTOMETRIC)
    if photometric not in (_BLACK_IS_ZERO, _RGB):
        raise raw.error("its samples are no bands: save them as grey, black being zero")
    layout = read_layout(page)
    if alone:
        refuse_hidden_stack(page, layout)
    samples = read_samples(raw, layout, jpeg_decoder(page, layout, photometric))
    top = None
    if samples.dtype.kind == "u" and layout.bits < 8 * samples.dtype.itemsize:
        top = (0.0, 2.0**layout.bits - 1)
    notes: list[str] = []
    no_data = _no_data(page, notes)
    return [
        Decoded(band, None, None, tuple(notes), top, from_tiff(page), no_data)
        for band in np.moveaxis(samples, -1, 0)
    ]


def tiff_slices(raw: Raw) -> tuple[list[Directory], list[Directory]]:
    """Return the pages that are the slices of a volume, and all pages."""
    pages = full_size_pages(raw)
    slices = slices_of(raw, pages, split_part(raw.name)[1])
    if sum(sum(read_layout(page).sizes) for page in slices) > len(raw.data):
        raise raw.damaged("TIFF", "its pages overlap")
    return slices, pages


def decode_tiff_slice(page: Directory, alone: bool) -> Decoded:
    """Decode one of the pages that :func:`tiff_slices` returns."""
    return _decode(page, alone)


def tiff_images(raw: Raw) -> int:
    """Count the images of a TIFF, or those asked for, decoding none; of several sizes, it is 1."""
    pages, part = full_size_pages(raw), split_part(raw.name)[1]
    if part:
        return len(asked_pages(raw, pages, part))
    sizes = {(page.integer(256), page.integer(257)) for page in pages}  # width and length
    return len(pages) if len(sizes) == 1 else 1


def _decode(page: Directory, alone: bool = True) -> Decoded:
    """Decode one page; what is `alone` may have others behind it."""
    raw = page.raw
    photometric = page.integer(_PHOTOMETRIC)
    if photometric not in _COLOURS:
        kind = _NAMES.get(photometric, f"photometric {photometric}")
        raise raw.error(f"{kind} TIFFs are not supported: save it as grey or RGB")
    if page.integer(_IMAGE_DEPTH, 1) != 1:
        raise raw.error("this TIFF holds a volume: save the one slice you mean")
    layout = read_layout(page)
    if layout.samples < _COLOURS[photometric]:
        raise raw.damaged("TIFF", f"its colours take more than {layout.samples} samples")
    if alone:
        refuse_hidden_stack(page, layout)
    samples = read_samples(raw, layout, jpeg_decoder(page, layout, photometric))
    return _to_picture(page, layout, photometric, samples)


def _to_picture(
    page: Directory, layout: Layout, photometric: int, samples: NDArray[Any]
) -> Decoded:
    """Turn decoded (H, W, S) samples into pixels and alpha."""
    raw, bits = page.raw, layout.bits
    notes: list[str] = []
    icc = page.octets(_ICC_PROFILE)
    colours = _COLOURS[photometric]
    colour, extra = samples[..., :colours], samples[..., colours:]
    alpha, associated = _alpha(page, layout, extra, notes)

    stored_range = None
    if alpha is not None:
        alpha = _at_full_scale(alpha, bits)
    if photometric == _PALETTE:
        colour = _look_up(page, bits, colour[..., 0])
    elif bits <= 8:
        colour = _at_full_scale(colour, bits)
    elif samples.dtype.kind == "u" and bits < 8 * samples.dtype.itemsize:
        stored_range = (0.0, 2.0**bits - 1)  # the 12 bits of a camera stay those 12 bits
    top = _top(colour.dtype, stored_range)

    if photometric == _WHITE_IS_ZERO:
        colour = _inverted(raw, colour, top)
    elif photometric == _CMYK:
        colour = _from_cmyk(raw, colour, top)
        notes.append("converted from CMYK to RGB without a colour profile")
        icc = None  # it describes the inks
    elif photometric == _YCBCR and (layout.compression != JPEG or layout.planes > 1):
        colour = _from_ycbcr(page, colour)
    if associated and alpha is not None:
        colour = _unpremultiplied(colour, alpha, stored_range)
        notes.append("its colours were stored multiplied by alpha, and have been divided by it")

    no_data = _no_data(page, notes) if photometric in (_BLACK_IS_ZERO, _RGB) and bits >= 8 else None
    pixels = colour[..., 0] if colour.shape[-1] == 1 else colour
    return Decoded(pixels, alpha, icc, tuple(notes), stored_range, from_tiff(page), no_data)


def _no_data(page: Directory, notes: list[str]) -> float | None:
    """Return the value that GDAL declares to mean that there is none."""
    declared = page.octets(_GDAL_NO_DATA)
    if declared is None:
        return None
    try:
        return float(declared.split(b"\0")[0])
    except ValueError:
        notes.append("it declares a no-data value that is no number, which is ignored")
        return None


def _alpha(
    page: Directory, layout: Layout, extra: NDArray[Any], notes: list[str]
) -> tuple[NDArray[Any] | None, bool]:
    """Find alpha among the extra samples, and whether the colours are multiplied by it."""
    kinds = page.integers(_EXTRA_SAMPLES) or ()
    for at, kind in enumerate(kinds[: extra.shape[-1]]):
        if kind in (_ASSOCIATED, _UNASSOCIATED):
            if len(kinds) > 1:
                notes.append(f"{len(kinds) - 1} extra channels beside alpha are ignored")
            return extra[..., at], kind == _ASSOCIATED
    if extra.shape[-1] > 1:
        raise page.raw.error(
            f"it has {layout.samples} channels, none of them marked as alpha: "
            "save it as grey or RGB"
        )
    if extra.shape[-1]:
        notes.append("an extra channel that is not marked as alpha is ignored")
    return None, False


def _at_full_scale(samples: NDArray[Any], bits: int) -> NDArray[Any]:
    """Spread unsigned samples over the full scale of the dtype that holds them."""
    if samples.dtype.kind != "u" or bits == 8 * samples.dtype.itemsize:
        return samples
    levels = np.arange(2**bits) * (np.iinfo(samples.dtype).max / (2**bits - 1))
    full: NDArray[Any] = np.rint(levels).astype(samples.dtype)[samples]
    return full


def _look_up(page: Directory, bits: int, indices: NDArray[Any]) -> NDArray[np.uint8]:
    """Replace palette indices by colours; palettes store 16 bits, of which 8 are meant."""
    values = page.integers(_COLOUR_MAP) or ()
    if indices.dtype.kind != "u" or bits > 16 or len(values) != 3 * 2**bits:
        raise page.raw.damaged("TIFF", f"its palette has {number_of(len(values), 'value')}")
    palette = np.array(values).reshape(3, -1).T
    # Some writers fill the low byte only.
    palette = palette >> 8 if palette.max() > 255 else palette
    colours: NDArray[np.uint8] = palette.astype(np.uint8)[indices]
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


def _by_bands(
    convert: Callable[..., NDArray[Any]], channels: int, dtype: DTypeLike, *arrays: NDArray[Any]
) -> NDArray[Any]:
    """Convert the rows of (H, W, ...) arrays to (H, W, channels): float64 takes much memory."""
    height, width = arrays[0].shape[:2]
    converted = np.empty((height, width, channels), dtype)
    for rows in bands(height, width):
        converted[rows] = convert(*(array[rows] for array in arrays))
    return converted


def _from_cmyk(raw: Raw, inks: NDArray[Any], top: float) -> NDArray[Any]:
    if inks.dtype.kind != "u":
        raise raw.error(f"CMYK of type {inks.dtype} is not supported: save it as RGB")

    def to_rgb(inks: NDArray[Any]) -> NDArray[Any]:
        light = top - inks.astype(np.float64)
        rgb: NDArray[Any] = np.rint(light[..., :3] * light[..., 3:] / top)
        return rgb

    return _by_bands(to_rgb, 3, inks.dtype, inks)


def _from_ycbcr(page: Directory, samples: NDArray[Any]) -> NDArray[Any]:
    """Convert full-range BT.601 YCbCr, which JPEG decoders undo by themselves."""
    subsampling = page.integers(_SUBSAMPLING) or (1, 1)
    if samples.dtype != np.uint8 or set(subsampling) != {1}:
        raise page.raw.error(
            f"YCbCr of type {samples.dtype}, subsampled by {subsampling}, is not supported: "
            "save it as RGB"
        )

    def to_rgb(samples: NDArray[Any]) -> NDArray[Any]:
        y, cb, cr = np.moveaxis(samples.astype(np.float64), -1, 0)
        red, blue = y + 1.402 * (cr - 128), y + 1.772 * (cb - 128)
        green = (y - 0.299 * red - 0.114 * blue) / 0.587
        rgb: NDArray[Any] = np.rint(np.stack([red, green, blue], axis=-1))
        return rgb.clip(0, 255)

    return _by_bands(to_rgb, 3, np.uint8, samples)


def _unpremultiplied(
    colour: NDArray[Any], alpha: NDArray[Any], stored_range: tuple[float, float] | None
) -> NDArray[Any]:
    """Divide by alpha; where alpha is zero the colour is unknown and stays as it is."""
    opaque = float(np.iinfo(alpha.dtype).max) if alpha.dtype.kind in "ui" else 1.0
    top = _top(colour.dtype, stored_range)

    def divided(colour: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
        share = np.where(alpha > 0, alpha / opaque, 1.0)[..., np.newaxis]
        straight: NDArray[Any] = colour / share
        return straight if colour.dtype.kind == "f" else np.clip(np.rint(straight), 0, top)

    return _by_bands(divided, colour.shape[-1], colour.dtype, colour, alpha)
