"""One source image as read: its stored values, their range, and what to tell about them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.imaging.metadata import NO_METADATA, Metadata
from fusionkit.imaging.values import bands, from_unit, full_scale, to_unit, to_unit32

TINT = 8 / 255
"""How far apart the channels of a pixel may be, of the range, and still count as a tint of grey."""


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
    stretched : bool
        Whether it is the picture's own, from its least value to its greatest.
    mask : array of bool, (H, W), or None
        True where the source shows the scene; None if it does everywhere. Elsewhere
        `pixels` hold the mean of what it shows.
    no_data : float or None
        The stored value that the file declares to mean that there is none.
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
    reader : str or None
        The plugin's reader that decoded it, and its version, if one did.
    quantity : str
        What the values are in, such as ``°C``, where the file tells; else empty.
    measured : Picture or None
        What it was made of, if it had fewer pixels than the other sources: `pixels` are
        interpolated then.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None
    name: str
    low: float
    high: float
    explicit_range: bool
    stretched: bool = False
    mask: NDArray[np.bool_] | None = None
    no_data: float | None = None
    notes: tuple[str, ...] = ()
    narrow_note: str | None = None
    icc: bytes | None = None
    orientation: int = 1
    metadata: Metadata = NO_METADATA
    sha256: str | None = None
    reader: str | None = None
    quantity: str = ""
    measured: Picture | None = None

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
        return any(_differ(self.pixels[rows]) for rows in bands(*self.shape))

    @cached_property
    def is_tinted(self) -> bool:
        """Whether it is in colour, but hardly: as an infrared image saved as RGB may be.

        The channels are within :data:`TINT` of one another, of the range, in all but one pixel
        of a hundred.
        """
        if not self.is_colour:
            return False
        most, coloured = self.height * self.width / 100, 0
        for rows in bands(*self.shape):
            coloured += self._count_coloured(rows)
            if coloured > most:
                return False
        return True

    def _count_coloured(self, rows: slice) -> int:
        """Count the pixels of these rows that are of more than a tint."""
        # Pair by pair: numpy reduces an axis of three many times as slowly.
        red, green, blue = np.moveaxis(self.pixels[rows], -1, 0)
        most = np.maximum(np.maximum(red, green), blue)
        least = np.minimum(np.minimum(red, green), blue)
        spread = np.subtract(most, least, dtype=np.float32)
        return int(np.count_nonzero(spread > TINT * (self.high - self.low)))

    @cached_property
    def extremes(self) -> tuple[float, float]:
        """The least and the greatest stored value, over all channels."""
        return float(self.pixels.min()), float(self.pixels.max())

    def unit(self, place: slice | tuple[slice | int, ...] = slice(None)) -> NDArray[np.float32]:
        """Pixels mapped to [0, 1]; values outside the range are clipped.

        Parameters
        ----------
        place : slice or tuple of slices
            Which rows, or rows and columns; all by default. A number behind these is of a channel.

        Returns
        -------
        array of float32, (H, W) or (H, W, 3)
            In [0, 1].
        """
        return to_unit32(self.pixels[place], self.low, self.high)

    def eight_bit(self) -> NDArray[np.uint8]:
        """Pixels of 8 bits, from 0 to 255 over the range: as stored, if they are such.

        Returns
        -------
        array of uint8, (H, W) or (H, W, 3)
        """
        if self.dtype == np.uint8 and (self.low, self.high) == (0, 255):
            return self.pixels
        unit = to_unit(self.pixels, self.low, self.high)
        pixels: NDArray[np.uint8] = from_unit(unit, np.uint8, 0, 255)
        return pixels

    def on_white(self) -> NDArray[np.uint8]:
        """Return it as a screen shows it: RGB of 8 bits, white where there are no data or nothing.

        Returns
        -------
        array of uint8, (H, W, 3)
        """
        unit = self.unit().astype(np.float64)
        if unit.ndim == 2:
            unit = np.repeat(unit[..., None], 3, axis=-1)
        if self.alpha is not None:
            opacity = to_unit(self.alpha, *full_scale(self.dtype))[..., None]
            unit = unit * opacity + (1 - opacity)
        if self.mask is not None:
            unit[~self.mask] = 1
        shown: NDArray[np.uint8] = from_unit(unit, np.uint8, 0, 255)
        return shown


def _differ(pixels: NDArray[Any]) -> bool:
    """Whether the channels of (H, W, 3) differ somewhere."""
    red, green, blue = np.moveaxis(pixels, -1, 0)
    return not (np.array_equal(red, green) and np.array_equal(green, blue))
