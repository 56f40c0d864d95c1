"""Size and orientation: whether the sources can lie on one another, as they are seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
