"""Size and orientation: whether the sources can lie on one another, as they are seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.errors import ImageError

if TYPE_CHECKING:
    from fusionkit.imaging.picture import Picture

ORIENTATIONS = {
    1: "as it is stored",
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "flipped top to bottom",
    5: "mirrored and turned left by 90 degrees",
    6: "turned right by 90 degrees",
    7: "mirrored and turned right by 90 degrees",
    8: "turned left by 90 degrees",
}
"""What the orientation tag of Exif and TIFF (274) does to the stored pixels of an image."""


def upright(samples: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn (H, W, ...) samples upright by their Exif or TIFF orientation (tag 274), 1 to 8.

    The tag names the edges of the scene where the first row and the first column lie
    (Exif 2.32, 4.6.4): 5 to 8 have them swapped. Other values are taken as 1.
    """
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return samples


def check_same_size(pictures: Sequence[Picture]) -> None:
    """Raise an ImageError that lists every source's size unless all sizes are equal."""
    if len({picture.shape for picture in pictures}) <= 1:
        return
    sizes = ", ".join(f"{p.name} is {p.width}x{p.height}{_by_tag(p)}" for p in pictures)
    stored = {p.shape if p.orientation < 5 else p.shape[::-1] for p in pictures}
    hint = "; as they are stored they have one: correct the wrong tag" if len(stored) == 1 else ""
    raise ImageError(f"{sizes}: fusion needs registered images of one size{hint}")


def on_one_grid(pictures: Sequence[Picture]) -> tuple[Picture, ...]:
    """Return pictures of one size: those of fewer pixels interpolated to the largest one's grid.

    They keep what was measured as :attr:`Picture.measured`.

    Raises
    ------
    ImageError
        One is no smaller form of the largest: the aspect ratios differ by more than a pixel.
    """
    largest = max(pictures, key=lambda picture: picture.shape).shape
    fits = all(_is_smaller_form(picture.shape, largest) for picture in pictures)
    if not fits:
        check_same_size(pictures)
    return tuple(
        picture if picture.shape == largest else _enlarged(picture, largest) for picture in pictures
    )


def _is_smaller_form(small: tuple[int, int], large: tuple[int, int]) -> bool:
    """Whether an image of (h, w) pixels can show the same field as one of (H, W)."""
    (h, w), (H, W) = small, large
    near = abs(H * w / W - h) <= 1 or abs(W * h / H - w) <= 1
    return (h, w) == (H, W) or (h < H and w < W and near and min(h, w) >= 2)


def _enlarged(picture: Picture, size: tuple[int, int]) -> Picture:
    from .metadata import NO_METADATA

    alpha = None if picture.alpha is None else _interpolated(picture.alpha, size)
    mask = None if picture.mask is None else _interpolated(picture.mask.astype(np.float32), size)
    return replace(
        picture,
        pixels=_interpolated(picture.pixels, size),
        alpha=alpha,
        mask=None if mask is None else mask > 0.5,
        metadata=NO_METADATA,  # resolution and position were those of the smaller grid
        measured=picture,
    )


def _interpolated(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Interpolate (h, w, ...) linearly between the centres of pixels, in their own type."""
    values = pixels.astype(np.float64)
    for axis, side in enumerate(size):
        old = pixels.shape[axis]
        at = np.clip((np.arange(side) + 0.5) * old / side - 0.5, 0, old - 1)
        below = np.minimum(at.astype(int), old - 2)
        share = (at - below).reshape([-1 if n == axis else 1 for n in range(values.ndim)])
        left, right = np.take(values, below, axis), np.take(values, below + 1, axis)
        values = left * (1 - share) + right * share
    whole = pixels.dtype.kind in "ui"
    made = (np.rint(values) if whole else values).astype(pixels.dtype)
    made.flags.writeable = False
    return made


def orientation_notes(pictures: Sequence[Picture]) -> tuple[str, ...]:
    """Return a line for every source whose orientation tag is not that of the first."""
    first = pictures[0]
    return tuple(
        f"{picture.name}: its orientation tag shows it {_seen(picture)}, and {first.name} "
        f"{_seen(first)}: they are fused as they are seen; if they do not fit, a tag is wrong"
        for picture in pictures[1:]
        if picture.orientation != first.orientation
    )


def _seen(picture: Picture) -> str:
    return f"{ORIENTATIONS[picture.orientation]} ({picture.orientation})"


def _by_tag(picture: Picture) -> str:
    if picture.orientation == 1:
        return ""
    return f", {ORIENTATIONS[picture.orientation]} by its orientation tag ({picture.orientation})"
