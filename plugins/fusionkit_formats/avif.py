"""AVIF (AV1 Image File Format): pixels by imagecodecs (libavif), what is said of them by Pillow."""

from __future__ import annotations

import re
from io import BytesIO

import imagecodecs
import numpy as np
from PIL import Image, features

from fusionkit import Decoded
from fusionkit.imaging import NO_METADATA, Metadata, from_exif

UNREAD = "profile and metadata of AVIF are not read: Pillow 11.3 or later reads them"
_UNSPECIFIED, _BT709, _SRGB = 2, 1, 13  # of CICP (ITU-T H.273): primaries and curves
_CURVES = (_BT709, _UNSPECIFIED, 6, _SRGB)
_LIGHT = {16: "PQ", 18: "HLG"}


def decode(data: bytes, part: str) -> Decoded:
    """Decode the only image, in its depth: 8 bits, or 10 or 12 in 16."""
    samples = np.asarray(imagecodecs.avif_decode(data, numthreads=1))
    if samples.ndim == 4:
        raise ValueError(f"it holds {len(samples)} frames: save the one you mean")
    top = 255 if samples.dtype == np.uint8 else 2 ** _bits(data) - 1
    alpha = None
    if samples.ndim == 3 and samples.shape[2] in (2, 4):
        samples, alpha = samples[..., :-1], samples[..., -1]
        whole = np.iinfo(alpha.dtype).max
        alpha = np.rint(alpha * (whole / top)).astype(alpha.dtype)
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[..., 0]
    metadata, icc, notes = _said(data)
    if icc is None:
        notes += _cicp(data)
    return Decoded(
        np.ascontiguousarray(samples), alpha, icc, notes, (0.0, float(top)), metadata=metadata
    )


def encode(image: Decoded, name: str) -> bytes:
    """Return a file without loss: grey or RGB of 8 bits, with or without alpha."""
    samples = image.pixels
    if image.alpha is not None and (image.alpha < 255).any():  # what is opaque has none in a file
        colour = np.repeat(samples[..., None], 3, 2) if samples.ndim == 2 else samples
        samples = np.dstack([colour, image.alpha])
    made = bytes(imagecodecs.avif_encode(samples, level=100, numthreads=1))
    if not np.array_equal(imagecodecs.avif_decode(made, numthreads=1), samples):
        raise ValueError("this version of libavif writes with a loss: use .png")
    return made


def _bits(data: bytes) -> int:
    """Return the depth that the codec's configuration says (AV1-ISOBMFF, 2.3)."""
    at = data.find(b"av1C")
    flags = data[at + 6] if 0 <= at < len(data) - 6 else 0
    if not flags & 0x40:
        raise ValueError("it does not say how many bits its values have")
    return 12 if flags & 0x20 else 10


def _said(data: bytes) -> tuple[Metadata, bytes | None, tuple[str, ...]]:
    """Return metadata, whose orientation is that of the file's own boxes too, and the profile."""
    if not features.check("avif"):
        return NO_METADATA, None, (UNREAD,)
    with Image.open(BytesIO(data), formats=("AVIF",)) as image:
        return from_exif(image.info.get("exif")), image.info.get("icc_profile") or None, ()


def _cicp(data: bytes) -> tuple[str, ...]:
    """Say where colours are not those of sRGB, which they are taken for."""
    found = re.search(rb"colrnclx(..)(..)", data[: 2**16], re.DOTALL)
    if found is None:
        return ()
    primaries, curve = (int.from_bytes(each, "big") for each in found.groups())
    if curve in _LIGHT:
        raise ValueError(
            f"its values are {_LIGHT[curve]}, of HDR, not those of a screen: save it in sRGB"
        )
    if primaries in (_BT709, _UNSPECIFIED) and curve in _CURVES:
        return ()
    return (f"its colours (CICP {primaries}, {curve}) are taken for sRGB, without a profile",)
