"""One source image as read: its stored values, their range, and what to tell about them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.errors import ImageError
from fusionkit.imaging.geometry import ORIENTATIONS, upright
from fusionkit.imaging.metadata import NO_METADATA, Metadata
from fusionkit.imaging.values import check_range, full_scale, to_unit

TINT = 8 / 255
"""How far apart the channels of a pixel may be, of the range, and still count as a tint of grey."""

_FLOAT_TOLERANCE = 1e-3  # resampling and float16 overshoot [0, 1] by about this much
_LOW_USE = 8  # a source that uses less than 1/8 of its range is worth a note
_CHANNELS = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGB and alpha"}


@dataclass(frozen=True, eq=False)
class Picture:
    """One source image as read: upright, in its stored depth.

    Made by `read_picture` and `picture_from_array`, which check it; the arrays are read-only.

    Parameters
    ----------
    pixels : array, (H, W) grey or (H, W, 3) RGB
        Stored values, finite, in native byte order.
    alpha : array, (H, W), or None
        Same dtype as `pixels`. It always runs over the full scale of that dtype
        (0 to 1 for floats), whatever range the pixels have.
    name : str
        What messages call it: the path as given, or for example "source 2".
    low, high : float
        The stored values that stand for 0 and 1.
    explicit_range : bool
        Whether the range came from the user.
    notes : tuple of str
        One-line warnings for the person, each beginning with the name.
    narrow_note : str or None
        The warning that the values use little of the range, which stretching answers.
    icc : bytes or None
        The embedded colour profile, describing `pixels`.
    orientation : int
        The file's orientation tag, a key of :data:`ORIENTATIONS`; the pixels are turned
        already.
    metadata : Metadata
        What the file says beside the pixels, as far as that holds of the pixels turned.
    sha256 : str or None
        Of the file's bytes, when it was read from a file.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None
    name: str
    low: float
    high: float
    explicit_range: bool
    notes: tuple[str, ...] = ()
    narrow_note: str | None = None
    icc: bytes | None = None
    orientation: int = 1
    metadata: Metadata = NO_METADATA
    sha256: str | None = None

    @property
    def height(self) -> int:
        """Number of rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.pixels.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @property
    def dtype(self) -> np.dtype[Any]:
        """Stored depth."""
        return self.pixels.dtype

    @property
    def channels(self) -> int:
        """Stored channels without alpha: 1 or 3."""
        return 1 if self.pixels.ndim == 2 else 3

    @property
    def layout(self) -> str:
        """One of "grey", "grey+alpha", "rgb", "rgb+alpha"."""
        return ("grey" if self.channels == 1 else "rgb") + ("" if self.alpha is None else "+alpha")

    @cached_property
    def is_colour(self) -> bool:
        """Whether three channels are stored and differ somewhere."""
        if self.channels == 1:
            return False
        red, green, blue = np.moveaxis(self.pixels, -1, 0)
        return not (np.array_equal(red, green) and np.array_equal(green, blue))

    @cached_property
    def is_tinted(self) -> bool:
        """Whether it is in colour, but hardly: as an infrared image saved as RGB may be.

        The channels are within :data:`TINT` of one another, of the range, in all but one pixel
        of a hundred.
        """
        if not self.is_colour:
            return False
        spread = np.subtract(self.pixels.max(-1), self.pixels.min(-1), dtype=np.float32)
        coloured = np.count_nonzero(spread > TINT * (self.high - self.low))
        return bool(coloured <= spread.size / 100)

    @cached_property
    def extremes(self) -> tuple[float, float]:
        """The least and the greatest stored value, over all channels."""
        return float(self.pixels.min()), float(self.pixels.max())

    def unit(self, stretch: bool = False, rows: slice = slice(None)) -> NDArray[np.float32]:
        """Pixels mapped to [0, 1]; values outside the range are clipped.

        Parameters
        ----------
        stretch : bool
            Use the source's own minimum and maximum, over all channels, as the range.
            A constant image maps to 0.
        rows : slice
            Which rows; all by default.

        Returns
        -------
        array of float32, (H, W) or (H, W, 3)
            In [0, 1].
        """
        low, high = self.low, self.high
        if stretch:
            low, high = self.extremes
            if low == high:
                return np.zeros(self.pixels[rows].shape, np.float32)
        return to_unit(self.pixels[rows], low, high).astype(np.float32)


def picture_from_array(
    array: Any,
    name: str,
    value_range: tuple[float, float] | None = None,
    channels_first: bool = False,
    index: int | str | None = None,
) -> Picture:
    """Make a source from an array, under the same checks as one read from a file.

    Parameters
    ----------
    array : array_like, (H, W) or (H, W, C)
        C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha. The values are copied.
        Without `value_range`: uint8 in 0..255, uint16 in 0..65535, floats in 0..1.
    name : str
        What messages call the source.
    value_range : (float, float), optional
        The stored values that stand for 0 and 1; values outside are clipped, with a note.
        Needed for every other integer type. It concerns the pixels, not alpha.
    channels_first : bool
        The array is (C, H, W).
    index : int or str, optional
        Position among the sources, counted from 0, or what else `--range` calls it; messages
        name the option by it.

    Raises
    ------
    ImageError
        If shape, dtype or values cannot be an image.
    UsageError
        If LO of the range is not below HI.
    """
    samples = np.array(array)
    if channels_first and samples.ndim == 3:
        samples = np.moveaxis(samples, 0, -1)
    if samples.ndim not in (2, 3) or (samples.ndim == 3 and samples.shape[2] not in _CHANNELS):
        hint = "channels_first=True takes (C, H, W)" if not channels_first else "C is at most 4"
        raise ImageError(
            f"{name}: an array of shape {np.shape(array)} is not an image: give (H, W) or "
            f"(H, W, C) with C = 1 grey, 2 grey and alpha, 3 RGB or 4 RGB and alpha; {hint}"
        )
    pixels, alpha = split_alpha(samples)
    return checked_picture(pixels, alpha, name, value_range=value_range, index=index)


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
    value_range: tuple[float, float] | None = None,
    stored_range: tuple[float, float] | None = None,
    index: int | str | None = None,
    notes: tuple[str, ...] = (),
    icc: bytes | None = None,
    metadata: Metadata = NO_METADATA,
    sha256: str | None = None,
) -> Picture:
    """Check what every source must fulfil and make a Picture of it.

    `stored_range` is the range that the file itself declares, such as 0..4095 for packed
    12-bit samples; `value_range` is the user's and wins. `notes` come without the name. The
    arrays are as they are stored, and turned upright here, as the metadata say.
    """
    which = index + 1 if isinstance(index, int) else index or "K"
    option = f"--range {which}:LO,HI"
    dtype = pixels.dtype.newbyteorder("=")
    if dtype.kind not in "uif" or dtype.itemsize > 8:
        hint = "a mask can be given as uint8 0 and 255" if dtype.kind == "b" else "convert it"
        raise ImageError(f"{name}: values of type {dtype} are not an image's: {hint}")
    height, width = pixels.shape[:2]
    if height < 2 or width < 2:
        raise ImageError(f"{name}: {width}x{height} pixels are too few: at least 2x2 are needed")
    for part in (pixels,) if alpha is None else (pixels, alpha):
        bad = part.size - int(np.isfinite(part).sum()) if dtype.kind == "f" else 0
        if bad:
            raise ImageError(f"{name}: {bad} values are NaN or infinite: replace them first")
    said = list(notes)
    smallest, largest = float(pixels.min()), float(pixels.max())
    if value_range is not None:
        low, high = check_range(value_range, f"{name}, {option}")
        outside = (pixels < low) | (pixels > high)
        clipped = int((outside if pixels.ndim == 2 else outside.any(axis=-1)).sum())
        if clipped:
            said.append(f"{clipped} pixels lie outside the range {low:g},{high:g} and are clipped")
    elif stored_range is not None:
        low, high = stored_range
    else:
        low, high = _range_by_convention(dtype, smallest, largest, name, option)
    if alpha is not None:
        _check_alpha(alpha, name)
    orientation = metadata.orientation
    if orientation is None:
        said.append("its Exif block is malformed, so the image is taken to be upright")
    if orientation not in ORIENTATIONS:
        orientation = 1
    narrow = None
    if min(largest, high) - max(smallest, low) < (high - low) / _LOW_USE:
        narrow = (
            f"{name}: values from {smallest:g} to {largest:g} use little of the range "
            f"{low:g},{high:g}: consider {option} or --stretch"
        )
    return Picture(
        _read_only(upright(pixels, orientation)),
        None if alpha is None else _read_only(upright(alpha, orientation)),
        name,
        low,
        high,
        explicit_range=value_range is not None,
        notes=tuple(f"{name}: {note}" for note in said),
        narrow_note=narrow,
        icc=icc,
        orientation=orientation,
        metadata=metadata.upright(),
        sha256=sha256,
    )


def _range_by_convention(
    dtype: np.dtype[Any], smallest: float, largest: float, name: str, option: str
) -> tuple[float, float]:
    remedy = f"say what they span with {option} (value_range in Python)"
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
