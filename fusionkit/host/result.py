"""A fused image and how it was made."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..contract.paths import refuse_url
from ..imaging import encode_picture, from_unit, full_scale, held
from ..imaging.metadata import NO_METADATA, Metadata
from ..imaging.values import to_unit
from ..imaging.write import encode_planes
from .keeping import Kept
from .saving import map_path_of, record_path_of, save_map, save_result

# Sources are read, and what is wrong with them is said, before torch takes seconds to import.
if TYPE_CHECKING:
    from torch import Tensor

    from .weight_maps import WeightMaps


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
    maps
        (H, W) float32 by name, of 255 of the value range: ``std``, the standard deviation of
        fusions of scenes that preparations have drawn, and what else those tell of.
    weight_maps
        What each source counts, where that was asked for (:class:`.weight_maps.WeightMaps`).
    """

    image: NDArray[Any] | Tensor
    record: dict[str, Any]
    pixels: NDArray[Any]
    alpha: NDArray[Any] | None
    icc: bytes | None
    sources: tuple[str, ...] = ()
    metadata: Metadata = NO_METADATA
    no_data: float | None = None
    maps: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    weight_maps: WeightMaps | None = None

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
        its ``metadata`` are those that the format holds. Maps go beside both
        (``out.std.tif``), in float32.

        Raises
        ------
        UsageError
            The file exists and ``overwrite`` is false, is one of the sources, or cannot be
            written, or the format cannot hold the image's depth or alpha.
        """
        from .record import metadata_record

        refuse_url(path)
        maps = {map_path_of(path, name): image for name, image in self.maps.items()}
        Kept(self.sources).refuse(path, record_path_of(path), *maps)
        quality = self.record["recipe"]["quality"]
        icc, metadata = held(
            path, self.icc, self.pixels.shape[-1] if self.pixels.ndim > 2 else 1, self.metadata
        )
        left_out = [] if icc == self.icc else ["ICC profile"]
        self.record["metadata"] |= metadata_record(metadata, left_out)
        if self.in_bands:
            data = encode_planes(path, np.moveaxis(np.atleast_3d(self.pixels), -1, 0), metadata)
        else:
            low, high = self.record["output"]["range"]
            data = encode_picture(
                path, self.pixels, self.alpha, icc, quality, metadata, (low, high), self.no_data
            )
        written = {name: encode_picture(name, image) for name, image in maps.items()}
        if written:
            self.record["output"]["maps"] = {
                os.path.basename(name): hashlib.sha256(each).hexdigest()
                for name, each in written.items()
            }
        for name, each in written.items():
            save_map(name, each, overwrite=overwrite)
        save_result(path, data, self.record, overwrite=overwrite)
