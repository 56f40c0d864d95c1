"""Images of any number of bands, as of multispectral cameras: every band is a picture."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.contract.counting import number_of
from fusionkit.errors import ImageError, UsageError
from fusionkit.imaging import _npy
from fusionkit.imaging._npy import decode_npy_bands
from fusionkit.imaging._tiff import decode_tiff_bands
from fusionkit.imaging._tiff_file import SIGNATURES as TIFF_SIGNATURES
from fusionkit.imaging.decoded import Decoded
from fusionkit.imaging.making import picture_from_decoded
from fusionkit.imaging.picture import Picture
from fusionkit.imaging.read import enough_memory, load
from fusionkit.imaging.sources import Source, as_array, source_picture
from fusionkit.imaging.values import OWN, ValueRange, value_ranges


def band_pictures(
    sources: Sequence[Source], ranges: Sequence[str] = (), stretch: Sequence[int] = ()
) -> tuple[tuple[Picture, ...], ...]:
    """Read the sources of one scene, band by band.

    Parameters
    ----------
    sources
        K >= 2, each of N bands: a TIFF of N pages, or of N samples (up to 8); an NPY file, an
        array or a tensor whose first or last axis, whichever is shorter, counts bands. Any other
        source is an image, whose channels, without alpha, are its bands.
    ranges, stretch
        The settings ``range`` and ``stretch``; the range of a source is that of all its bands.

    Returns
    -------
    tuple of K tuples of N pictures
        Each of one band, (H, W), and called after its source.

    Raises
    ------
    ImageError
        One cannot be read, or they are not of one number of bands.
    UsageError
        There is one source only, or a range is wrong.
    """
    if len(sources) < 2:
        raise UsageError("one source only: --colour bands takes a file of several bands for each")
    given = value_ranges(ranges, stretch, len(sources))
    found = tuple(_bands(source, k, given.get(k)) for k, source in enumerate(sources))
    for bands in found:
        if len(bands) != len(found[0]):
            raise ImageError(
                f"{_name(bands)}: {number_of(len(bands), 'band')}, and {_name(found[0])} has "
                f"{len(found[0])}: sources are fused band by band"
            )
    return found


def _bands(source: Source, index: int, value_range: ValueRange | None) -> tuple[Picture, ...]:
    decoded, name, digest = _decoded(source, index)
    if not decoded:
        return _of_picture(source_picture(source, index, value_range))
    if value_range == OWN:  # of all bands: one by one, they would lose what they are to one another
        value_range = _own_range([band.pixels for band in decoded])
    return tuple(
        picture_from_decoded(band, f"{name}, band {n + 1}", value_range, index, True, digest)
        for n, band in enumerate(decoded)
    )


def _decoded(source: Source, index: int) -> tuple[list[Decoded], str, str | None]:
    """Return the bands of what may have many, what the source is called, and its file's hash."""
    name = f"source {index + 1}"
    if isinstance(source, (str, os.PathLike)):
        raw = load(source)
        for signatures, kind, decode in (
            (TIFF_SIGNATURES, "TIFF", decode_tiff_bands),
            ((_npy.SIGNATURE,), "NPY", decode_npy_bands),
        ):
            if raw.data.startswith(signatures):
                with enough_memory(raw.name), raw.decoding(kind):
                    return decode(raw), raw.name, hashlib.sha256(raw.data).hexdigest()
        return [], raw.name, None
    array = as_array(source, name)
    if array is None or array.ndim != 3:
        return [], name, None
    return [Decoded(band) for band in bands_first(array)], name, None


def bands_first(samples: NDArray[Any]) -> NDArray[Any]:
    """Return (H, W, N) as (N, H, W), and (N, H, W) as it is: bands are the fewer."""
    return np.moveaxis(samples, -1, 0) if samples.shape[-1] < samples.shape[0] else samples


def _of_picture(picture: Picture) -> tuple[Picture, ...]:
    planes = [picture.pixels] if picture.channels == 1 else np.moveaxis(picture.pixels, -1, 0)
    return tuple(
        replace(picture, pixels=plane, alpha=None, icc=None, name=f"{picture.name}, band {n + 1}")
        for n, plane in enumerate(planes)
    )


def _own_range(bands: Sequence[NDArray[Any]]) -> tuple[float, float]:
    known = [band[np.isfinite(band)] for band in bands]
    ends = [(float(band.min()), float(band.max())) for band in known if band.size]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    return low, high if high > low else low + 1


def _name(bands: Sequence[Picture]) -> str:
    return bands[0].name.rpartition(", band ")[0]
