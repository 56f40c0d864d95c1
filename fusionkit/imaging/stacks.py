"""Files that hold several images of one scene: pages of a TIFF, slices of an array."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Callable, Sequence
from typing import Any

from fusionkit.contract.paths import split_part
from fusionkit.errors import ImageError
from fusionkit.imaging import _npy
from fusionkit.imaging._npy import decode_npy_stack, npy_images
from fusionkit.imaging._raw import Raw
from fusionkit.imaging._tiff import decode_tiff_stack, tiff_images
from fusionkit.imaging._tiff_file import SIGNATURES as TIFF_SIGNATURES
from fusionkit.imaging.decoded import Decoded
from fusionkit.imaging.making import picture_from_decoded
from fusionkit.imaging.picture import Picture
from fusionkit.imaging.read import default_max_pixels, enough_memory, load
from fusionkit.imaging.values import value_ranges

_FORMATS: tuple[
    tuple[tuple[bytes, ...], str, Callable[[Raw], int], Callable[[Raw], list[Decoded]]], ...
] = (
    (TIFF_SIGNATURES, "TIFF", tiff_images, decode_tiff_stack),
    ((_npy.SIGNATURE,), "NPY", npy_images, decode_npy_stack),
)
"""Signatures, name, what counts the images, what decodes them."""


def images_in(path: str | os.PathLike[str]) -> int:
    """Count the images of a file without decoding them.

    Returns
    -------
    int
        1 also where the file cannot be read: whoever reads it says why.
    """
    try:
        place = split_part(path)[0]
        with (
            open(place, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            content: Any = data  # as good as bytes: its slices are
            raw = Raw(os.fspath(path), content, default_max_pixels())
            for signatures, name, count, _ in _FORMATS:
                if data[: len(signatures[0])] in signatures:
                    with raw.decoding(name):
                        return count(raw)
    except (OSError, ValueError, ImageError):  # ValueError: an empty file, or no path
        pass
    return 1


def read_stack(
    path: str | os.PathLike[str], ranges: Sequence[str] = (), stretch: Sequence[int] = ()
) -> tuple[Picture, ...]:
    """Read every image of a file as a source of its own.

    Parameters
    ----------
    path
        Of a TIFF with pages, or an NPY array (K, H, W) or (K, H, W, C). ``FILE#z=all,c=1`` is a
        stack along one axis of a TIFF.
    ranges, stretch
        The settings ``range`` and ``stretch``, whose K counts the images.

    Returns
    -------
    tuple of Picture
        Named ``PATH, page K``, all with the ``sha256`` of the file.

    Raises
    ------
    ImageError
        The file cannot be read, or holds one image only.
    UsageError
        A range is wrong, or of an image that is not there.
    """
    raw = load(path)
    decoded: list[Decoded] = []
    for signatures, name, _, decode in _FORMATS:
        if raw.data.startswith(signatures):
            with enough_memory(raw.name), raw.decoding(name):
                decoded = decode(raw)
    if len(decoded) < 2:
        raise ImageError(f"{raw.name}: one image only: fusion needs at least two of one scene")
    given = value_ranges(ranges, stretch, len(decoded))
    digest = hashlib.sha256(raw.data).hexdigest()
    return tuple(
        picture_from_decoded(page, f"{raw.name}, page {k + 1}", given.get(k), k, True, digest)
        for k, page in enumerate(decoded)
    )
