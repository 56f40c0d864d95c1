"""A fused image and how it was made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..imaging import encode_picture, from_unit, full_scale, held
from ..imaging.metadata import NO_METADATA, Metadata
from ..imaging.values import to_unit
from ..imaging.write import encode_planes
from .saving import Kept, record_path_of, save_result

# Sources are read, and what is wrong with them is said, before torch takes seconds to import.
if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Result:
    """A fused image and how it was made.

    Attributes
    ----------
    image
        An array (H, W) or (H, W, C), C = 2 and 4 with alpha last; a tensor (H, W) or
        (C, H, W) where all sources were tensors; (N, H, W) of N bands. Its dtype is that of the
        deepest source, its range the sources' own (:func:`fusionkit.imaging.output_format`).
    record
        JSON-ready: recipe, plugins, inputs, colour plan, NFE, time, libraries.
    """

    image: NDArray[Any] | Tensor
    record: dict[str, Any]
    pixels: NDArray[Any]
    alpha: NDArray[Any] | None
    icc: bytes | None
    sources: tuple[str, ...] = ()
    metadata: Metadata = NO_METADATA

    @property
    def in_bands(self) -> bool:
        """Whether the image is of bands, and no picture in grey or colour."""
        return bool(self.record["colour"]["fused"] == "bands")

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        kind = "grey" if self.pixels.ndim == 2 else "RGB"
        if self.in_bands:
            kind = f"of {len(self.image)} bands"
        parts = [str(part["name"]) for part in self.record["components"].values()]
        return (
            f"<Result {width}x{height} {self.pixels.dtype} {kind}"
            f"{'' if self.alpha is None else ' with alpha'}, {' '.join(parts)}>"
        )

    def _repr_png_(self) -> bytes:
        """Return a PNG of eight bits, as notebooks show it; floats span the output's range."""
        bounds = self.record["output"]["range"]
        byte = np.dtype(np.uint8)
        pixels = self.pixels
        if self.in_bands:  # which no screen has: their mean
            pixels = np.atleast_3d(pixels).mean(-1)
        shown = np.nan_to_num(to_unit(pixels, *bounds))
        alpha = self.alpha
        if alpha is not None:
            alpha = from_unit(to_unit(alpha, *full_scale(alpha.dtype)), byte, 0, 255)
        return encode_picture("shown.png", from_unit(shown, byte, 0, 255), alpha, self.icc)

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the image, and the record beside it (``out.png`` gets ``out.png.json``).

        Folders that are missing are made. The record gets the SHA-256 of the image's file, and
        its ``metadata`` are those that the format holds.

        Raises
        ------
        UsageError
            The file exists and ``overwrite`` is false, is one of the sources, or cannot be
            written, or the format cannot hold the image's depth or alpha.
        """
        from .record import metadata_record

        Kept(self.sources).refuse(path, record_path_of(path))
        quality = self.record["recipe"]["quality"]
        icc, metadata = held(
            path, self.icc, self.pixels.shape[-1] if self.pixels.ndim > 2 else 1, self.metadata
        )
        left_out = [] if icc == self.icc else ["ICC profile"]
        self.record["metadata"] |= metadata_record(metadata, left_out)
        if self.in_bands:
            data = encode_planes(path, np.moveaxis(np.atleast_3d(self.pixels), -1, 0), metadata)
        else:
            data = encode_picture(path, self.pixels, self.alpha, icc, quality, metadata)
        save_result(path, data, self.record, overwrite=overwrite)
