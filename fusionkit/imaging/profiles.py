"""Colour profiles: sources that are described by different ones are brought into one.

Conversion is littlecms's, relative colorimetric, in float32, so that 16 bits stay 16 bits.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.imaging.picture import Picture
from fusionkit.imaging.values import bands, from_unit, to_unit

SRGB_PRIMARIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
"""CIE x and y of white, red, green and blue."""

_NO_DATE = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # of when it was made: bytes do not depend on it
_RELATIVE_COLORIMETRIC = 1
_SAME = 1 / 255  # profiles that differ by no more, anywhere, describe the same colours
_SPACES = {b"GRAY": "gray", b"RGB ": "rgb"}


def icc_channels(profile: bytes) -> int | None:
    """Channels that an ICC profile describes, 1 or 3; None for others (ICC.1:2022, 7.2.8)."""
    return {"gray": 1, "rgb": 3}.get(_SPACES.get(profile[16:20], ""))


def in_one_profile(pictures: Sequence[Picture]) -> tuple[Picture, ...]:
    """Convert the sources to the colour profile of the first.

    The first is the first in colour, if any is. A source in colour without a profile is
    taken for sRGB; a grey one without says nothing of its tones, and is taken as it is.

    Parameters
    ----------
    pictures : sequence of Picture
        The sources.

    Returns
    -------
    tuple of Picture
        With a note where one was converted, or its profile cannot be used. `icc` is that
        of the first, or None where that has none, and for grey sources beside colour.
    """
    usable = [_checked(picture) for picture in pictures]
    colour = [picture for picture in usable if picture.is_colour]
    tagged = [picture for picture in usable if picture.icc]
    vivid = [picture for picture in colour if not picture.is_tinted]
    first = (vivid or colour or tagged or usable)[0]
    return tuple(_converted(picture, first, grey=not colour) for picture in usable)


def _checked(picture: Picture) -> Picture:
    """Return the picture without a profile that cannot be used, and with a note on that."""
    if picture.icc is None:
        return picture
    channels = icc_channels(picture.icc)
    if channels is None or (channels == 1 and picture.is_colour):
        why = "does not describe its channels"
    elif not _works(picture.icc):
        why = "is damaged"
    else:
        return picture
    return _noted(replace(picture, icc=None), f"its colour profile {why}, and is left out")


def _converted(picture: Picture, first: Picture, grey: bool) -> Picture:
    """Return a picture in the profile of the first; `grey` says that no source is in colour."""
    target = first.icc or (None if grey else srgb_profile())
    profile = picture.icc or (srgb_profile() if picture.is_colour else None)
    kept = first.icc if grey or picture.is_colour else None
    if target is None or profile is None or _same(profile, target):
        return replace(picture, icc=kept)
    pixels = _transformed(picture, profile, target)
    own = f"its colour profile, {described(profile)}," if picture.icc else "sRGB"
    others = f"that of {first.name}, {described(target)}" if first.icc else "sRGB"
    pixels.flags.writeable = False
    return _noted(replace(picture, pixels=pixels, icc=kept), f"converted from {own} to {others}")


def _noted(picture: Picture, note: str) -> Picture:
    return replace(picture, notes=(*picture.notes, f"{picture.name}: {note}"))


def _transformed(picture: Picture, profile: bytes, target: bytes) -> NDArray[Any]:
    """Return the stored values in another profile, in the layout that they have."""
    pixels = np.empty_like(picture.pixels)
    for rows in bands(*picture.shape):
        stored = picture.pixels[rows]
        unit = to_unit(stored, picture.low, picture.high)
        if icc_channels(profile) == 1 and unit.ndim == 3:
            unit = unit[..., 0]
        elif icc_channels(profile) == 3 and unit.ndim == 2:
            unit = np.repeat(unit[..., np.newaxis], 3, axis=-1)
        converted = _transform(unit, profile, target)
        if converted.ndim == 3 and not picture.is_colour:
            converted = converted.mean(axis=-1)  # what is grey is so in every profile
        if converted.ndim == 2 and stored.ndim == 3:
            converted = np.repeat(converted[..., np.newaxis], 3, axis=-1)
        pixels[rows] = from_unit(converted, stored.dtype, picture.low, picture.high)
    return pixels


def _transform(unit: NDArray[Any], profile: bytes, target: bytes) -> NDArray[np.float32]:
    """Convert values in [0, 1], (H, W) or (H, W, 3) as the profile says; clip to the gamut."""
    import imagecodecs

    converted: NDArray[np.float32] = imagecodecs.cms_transform(
        np.ascontiguousarray(unit, np.float32),
        profile,
        target,
        colorspace=_SPACES[profile[16:20]],
        outcolorspace=_SPACES[target[16:20]],
        intent=_RELATIVE_COLORIMETRIC,
    )
    return np.clip(converted, 0.0, 1.0)


def profile_of(channels: int, gamma: float, primaries: Sequence[float]) -> bytes | None:
    """Make the profile of stored values whose power of `gamma` is light.

    Parameters
    ----------
    channels : int
        1 or 3.
    gamma : float
        More than 0.
    primaries : sequence of 8 floats
        CIE x and y of white, red, green and blue.

    Returns
    -------
    bytes or None
        None if there are no such colours.
    """
    import imagecodecs

    white, corners = [*primaries[:2], 1.0], zip(primaries[2::2], primaries[3::2], strict=True)
    try:
        made = imagecodecs.cms_profile(
            "gray" if channels == 1 else "rgb",
            gamma=gamma,
            whitepoint=white,
            primaries=[value for x, y in corners for value in (x, y, 1.0)],
        )
    except imagecodecs.CmsError:
        return None
    return bytes(made[:24]) + _NO_DATE + bytes(made[24 + len(_NO_DATE) :])


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """Return an sRGB profile."""
    import imagecodecs

    return bytes(imagecodecs.cms_profile("srgb"))


def _works(profile: bytes) -> bool:
    """Whether littlecms can convert by a profile."""
    try:
        return bool(np.isfinite(_transform(_probe(profile), profile, srgb_profile())).all())
    except Exception:  # whatever a damaged profile raises
        return False


def _same(profile: bytes, target: bytes) -> bool:
    """Whether two profiles describe the same colours, whoever wrote them."""
    if profile == target:
        return True
    if profile[16:20] != target[16:20]:
        return False
    probe = _probe(profile)
    return bool(np.abs(_transform(probe, profile, target) - probe).max() <= _SAME)


def _probe(profile: bytes) -> NDArray[np.float32]:
    """Return colours all over the gamut, (9, 81, 3), or tones, (1, 256)."""
    if icc_channels(profile) == 1:
        return np.linspace(0, 1, 256, dtype=np.float32)[np.newaxis]
    steps = np.linspace(0, 1, 9, dtype=np.float32)
    return np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(9, 81, 3)


def described(profile: bytes) -> str:
    """Return the name that a profile gives itself, fit for one line."""
    from PIL import ImageCms

    try:
        text = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile)))
    except Exception:  # a name may be damaged where the numbers are not
        text = ""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text[:40] or "unnamed"
