"""Checking what every source must fulfil, and making a picture of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.contract.counting import number_of
from fusionkit.errors import ImageError
from fusionkit.imaging.decoded import Decoded
from fusionkit.imaging.geometry import ORIENTATIONS, upright
from fusionkit.imaging.metadata import NO_METADATA, Metadata
from fusionkit.imaging.picture import Picture
from fusionkit.imaging.values import OWN, ValueRange, check_range, full_scale

_FLOAT_TOLERANCE = 1e-3  # resampling and float16 overshoot [0, 1] by about this much
_LOW_USE = 8  # a source that uses less than 1/8 of its range is worth a note
_CHANNELS = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGB and alpha"}


def picture_from_array(
    array: Any,
    name: str,
    value_range: ValueRange | None = None,
    channels_first: bool = False,
    index: int | str | None = None,
    masks: bool = False,
) -> Picture:
    """Make a source from an array, under the same checks as one read from a file.

    Parameters
    ----------
    array : array_like, (H, W) or (H, W, C)
        C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha. The values are copied.
        Without `value_range`: uint8 in 0..255, uint16 in 0..65535, floats in 0..1.
    name : str
        What messages call the source.
    value_range : (float, float) or "own", optional
        The stored values that stand for 0 and 1, or those that it spans itself; values
        outside are clipped, with a note. Needed for every other integer type. It concerns
        the pixels, not alpha.
    channels_first : bool
        The array is (C, H, W).
    index : int or str, optional
        Position among the sources, counted from 0, or what else `--range` calls it; messages
        name the option by it.
    masks : bool
        Whether pixels may hold NaN, as where there is no value; otherwise that is an error.

    Raises
    ------
    ImageError
        If shape, dtype or values cannot be an image.
    UsageError
        If LO of the range is not below HI.
    """
    try:
        samples = np.array(array)
    except (TypeError, ValueError) as error:
        raise ImageError(f"{name}: it is no array of numbers: {error}") from None
    if channels_first and samples.ndim == 3:
        samples = np.moveaxis(samples, 0, -1)
    if samples.ndim not in (2, 3) or (samples.ndim == 3 and samples.shape[2] not in _CHANNELS):
        hint = "channels_first=True takes (C, H, W)" if not channels_first else "C is at most 4"
        raise ImageError(
            f"{name}: an array of shape {samples.shape} is not an image: give (H, W) or "
            f"(H, W, C) with C = 1 grey, 2 grey and alpha, 3 RGB or 4 RGB and alpha; {hint}"
        )
    pixels, alpha = split_alpha(samples)
    return checked_picture(pixels, alpha, name, value_range=value_range, index=index, masks=masks)


def picture_from_decoded(
    decoded: Decoded,
    name: str,
    value_range: ValueRange | None,
    index: int | str | None,
    masks: bool,
    sha256: str | None,
    empty: bool = False,
) -> Picture:
    """Make a source of what a decoder found, in a file whose hash is given, or in an array.

    ``empty`` is as in :func:`checked_picture`.
    """
    made = checked_picture(
        decoded.pixels,
        decoded.alpha,
        name,
        value_range=value_range,
        stored_range=decoded.stored_range,
        index=index,
        masks=masks,
        no_data=decoded.no_data,
        mask=decoded.mask,
        notes=decoded.notes,
        icc=decoded.icc,
        metadata=decoded.metadata,
        sha256=sha256,
        reader=decoded.reader,
        empty=empty,
    )
    return replace(made, quantity=decoded.quantity) if decoded.quantity else made


def spanned(least: float, greatest: float) -> tuple[float, float]:
    """Return the range that values span; where all are one, this is black, and white above it."""
    if least < greatest:
        return least, greatest
    return least, least + max(1.0, abs(least) / 1e3)  # which float32 tells apart


def split_alpha(samples: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Split (H, W) or (H, W, 1 to 4) samples into pixels, (H, W) or (H, W, 3), and alpha."""
    if samples.ndim == 2:
        return samples, None
    channels = samples.shape[2]
    pixels = samples[..., 0] if channels < 3 else samples[..., :3]
    return pixels, samples[..., -1] if channels in (2, 4) else None


def checked_picture(
    pixels: NDArray[Any],
    alpha: NDArray[Any] | None,
    name: str,
    *,
    value_range: ValueRange | None = None,
    stored_range: tuple[float, float] | None = None,
    index: int | str | None = None,
    masks: bool = False,
    no_data: float | None = None,
    mask: NDArray[np.bool_] | None = None,
    notes: tuple[str, ...] = (),
    icc: bytes | None = None,
    metadata: Metadata = NO_METADATA,
    sha256: str | None = None,
    reader: str | None = None,
    empty: bool = False,
) -> Picture:
    """Check what every source must fulfil and make a Picture of it.

    `stored_range` is the range that the file itself declares, such as 0..4095 for packed
    12-bit samples; `value_range` is the user's and wins. `notes` come without the name. The
    arrays are as they are stored, and turned upright here, as the metadata say. Pixels that
    are NaN, or `no_data`, or where `mask` is false, are masked where `masks`, otherwise refused;
    these may be all where `empty`, as in a slice of a volume that does not reach there.
    """
    which = index + 1 if isinstance(index, int) else index or "K"
    option = f"--range {which}:LO,HI"
    remedy = f"{option}, or --stretch {which}" if isinstance(index, int) else option
    dtype = pixels.dtype.newbyteorder("=")
    if dtype.kind not in "uif" or dtype.itemsize > 8:
        hint = "a mask can be given as uint8 0 and 255" if dtype.kind == "b" else "convert it"
        raise ImageError(f"{name}: values of type {dtype} are not an image's: {hint}")
    height, width = pixels.shape[:2]
    if height < 2 or width < 2:
        raise ImageError(f"{name}: {width}x{height} pixels are too few: at least 2x2 are needed")
    said = list(notes)
    no_data = _as_stored(no_data, dtype)
    mask, what = _seen(pixels, no_data, mask)
    if mask is not None:
        if not empty:
            _check_hidden(name, mask, what, masks)
        hidden = mask.size - int(mask.sum())
        said.append(f"{_hidden(hidden, what)}: {'it does' if hidden == 1 else 'they do'} not count")
        pixels = _filled(pixels, mask)
    if alpha is not None:
        _check_alpha(alpha, name)
    smallest, largest = float(pixels.min()), float(pixels.max())
    stretched = value_range == OWN
    if isinstance(value_range, str):
        low, high = spanned(smallest, largest)
    elif value_range is not None:
        low, high = check_range(value_range, f"{name}, {option}")
        outside = (pixels < low) | (pixels > high)
        clipped = int((outside if pixels.ndim == 2 else outside.any(axis=-1)).sum())
        if clipped:
            lie, are = ("lies", "is") if clipped == 1 else ("lie", "are")
            said.append(
                f"{number_of(clipped, 'pixel')} {lie} outside the range {low:g},{high:g} and "
                f"{are} clipped"
            )
    elif stored_range is not None:
        low, high = stored_range
        if low == high == smallest == largest:  # of a file that says what it spans
            low, high = spanned(low, high)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ImageError(
                f"{name}: it says that black and white are {low:g} and {high:g}, which is no "
                f"range: give {remedy}"
            )
    else:
        low, high = _range_by_convention(dtype, smallest, largest, name, remedy)
    orientation = metadata.orientation
    if orientation is None:
        said.append("its Exif block is malformed, so the image is taken to be upright")
    if orientation not in ORIENTATIONS:
        orientation = 1
    narrow = None
    if not stretched and min(largest, high) - max(smallest, low) < (high - low) / _LOW_USE:
        narrow = (
            f"{name}: values from {smallest:g} to {largest:g} use little of the range "
            f"{low:g},{high:g}: consider {remedy}"
        )
    return Picture(
        _read_only(upright(pixels, orientation)),
        None if alpha is None else _read_only(upright(alpha, orientation)),
        name,
        low,
        high,
        explicit_range=value_range is not None,
        stretched=stretched,
        mask=None if mask is None else _read_only(upright(mask, orientation)),
        no_data=no_data,
        notes=tuple(f"{name}: {note}" for note in said),
        narrow_note=narrow,
        icc=icc,
        orientation=orientation,
        metadata=metadata.upright(),
        sha256=sha256,
        reader=reader,
    )


def _as_stored(no_data: float | None, dtype: np.dtype[Any]) -> float | None:
    """Return a declared value as pixels hold it; None if none can."""
    if no_data is None or dtype.kind == "f":
        return None if no_data is None else float(dtype.type(no_data))
    info = np.iinfo(dtype)
    return no_data if no_data.is_integer() and info.min <= no_data <= info.max else None


def _seen(
    pixels: NDArray[Any], no_data: float | None, given: NDArray[np.bool_] | None
) -> tuple[NDArray[np.bool_] | None, str]:
    """Return where there are values, (H, W), None for everywhere, and what there is elsewhere."""
    planes = pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
    what = "NaN or infinite"
    seen = np.ones(planes.shape[:2], np.bool_)
    if pixels.dtype.kind == "f":
        seen = np.isfinite(planes).all(axis=-1)
    if no_data is not None:
        declared = (planes == no_data).all(axis=-1)
        if (seen & declared).any():
            seen, what = seen & ~declared, f"the declared no-data value {no_data:g}"
    if given is not None and not given.all():
        seen, what = seen & given, "not shown by it"
    return (None, what) if seen.all() else (seen, what)


def _check_hidden(name: str, mask: NDArray[np.bool_], what: str, masks: bool) -> None:
    hidden = mask.size - int(mask.sum())
    if not mask.any():
        raise ImageError(f"{name}: all pixels are {what}: give an image with values")
    if not masks:
        them = "it" if hidden == 1 else "them"
        raise ImageError(f"{name}: {_hidden(hidden, what)}: replace {them} first")


def _hidden(count: int, what: str) -> str:
    """Say that so many pixels are what has no value."""
    return f"{number_of(count, 'pixel')} {'is' if count == 1 else 'are'} {what}"


def _filled(pixels: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the pixels with the mean of those that have a value instead of the others."""
    mean = pixels[mask].mean(axis=0, dtype=np.float64) if mask.any() else np.float64(0)
    filled = pixels.copy()
    filled[~mask] = np.rint(mean) if pixels.dtype.kind in "ui" else mean
    return filled


def _range_by_convention(
    dtype: np.dtype[Any], smallest: float, largest: float, name: str, option: str
) -> tuple[float, float]:
    remedy = f"say what they span with {option}"
    found = f"{smallest:g} to {largest:g}"
    if dtype.kind != "f" and dtype.name not in ("uint8", "uint16"):
        raise ImageError(
            f"{name}: {dtype} values have no range by convention; they go from {found}: {remedy}"
        )
    low, high = full_scale(dtype)
    if smallest < low - _FLOAT_TOLERANCE or largest > high + _FLOAT_TOLERANCE:
        raise ImageError(f"{name}: float values go from {found}, not from 0 to 1: {remedy}")
    return low, high


def _check_alpha(alpha: NDArray[Any], name: str) -> None:
    if not np.isfinite(alpha).all():
        raise ImageError(f"{name}: its alpha channel holds NaN or infinity: rescale it")
    low, high = full_scale(alpha.dtype)
    tolerance = _FLOAT_TOLERANCE if alpha.dtype.kind == "f" else 0.0
    if alpha.min() < low - tolerance or alpha.max() > high + tolerance:
        raise ImageError(
            f"{name}: alpha goes from {alpha.min():g} to {alpha.max():g}, not from {low:g} to "
            f"{high:g}: rescale the alpha channel"
        )


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).view()
    native.flags.writeable = False
    return native
