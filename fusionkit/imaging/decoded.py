"""What the decoders of the single formats give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.imaging.metadata import NO_METADATA, Metadata


@dataclass(frozen=True)
class Decoded:
    """What a decoder found, as it is stored; its metadata say how it is to be turned.

    Parameters
    ----------
    pixels : array, (H, W) grey or (H, W, 3) RGB
        Integers or floats.
    alpha : array, (H, W), or None
        Over the full scale of its type.
    icc : bytes or None
        The colour profile of `pixels`.
    notes : tuple of str
        What the person should know, phrases without the file's name.
    stored_range : (float, float) or None
        The values that stand for 0 and 1, where the file tells them.
    metadata : Metadata
        What else the file says, such as its orientation.
    no_data : float or None
        The value that means that there is none.
    mask : array of bool, (H, W), or None
        True where there are values; None for everywhere.
    quantity : str
        What the values are in, such as ``°C``, where the file tells; else empty.
    reader : str or None
        What decoded it, if a plugin did; the host says so.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    icc: bytes | None = None
    notes: tuple[str, ...] = ()
    stored_range: tuple[float, float] | None = None
    metadata: Metadata = NO_METADATA
    no_data: float | None = None
    mask: NDArray[np.bool_] | None = None
    quantity: str = ""
    reader: str | None = None
