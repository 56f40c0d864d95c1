"""What the decoders of the single formats give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from fusionkit.imaging.metadata import NO_METADATA, Metadata


@dataclass(frozen=True)
class Decoded:
    """What a decoder found, as it is stored; its metadata say how it is to be turned.

    `notes` are phrases without the file's name.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None
    icc: bytes | None = None
    notes: tuple[str, ...] = ()
    stored_range: tuple[float, float] | None = None
    metadata: Metadata = NO_METADATA
    no_data: float | None = None
