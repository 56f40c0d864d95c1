"""Sources on the grid of the first one, by where their files say that they lie in space."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.errors import ImageError
from fusionkit.imaging.files import private_folder
from fusionkit.imaging.grid import Grid, check_comparable, sampled
from fusionkit.imaging.making import picture_from_decoded
from fusionkit.imaging.metadata import NO_METADATA
from fusionkit.imaging.picture import Picture
from fusionkit.imaging.values import ValueRange
from fusionkit.imaging.volume import Volume
from fusionkit.imaging.volumes import is_volume, read_volume

if TYPE_CHECKING:
    from fusionkit.imaging.sources import Source


def pictures_on_first(
    sources: Sequence[Source],
    given: Mapping[int, ValueRange],
    read: Callable[[Source, int, ValueRange | None], Picture],
) -> tuple[Picture, ...]:
    """Read sources, by ``read`` what is no volume; the others as they show what the first one does.

    What is a volume is cut where the first source lies; any other source is a slice,
    which shows what lies within its thickness. What is not shown is masked.

    Raises
    ------
    ImageError
        One does not say where it lies, or shows nothing of where the first one does.
    """
    first = read(sources[0], 0, given.get(0))
    grid = _grid_of(first)
    found = [first]
    for k, source in enumerate(sources[1:], 1):
        if isinstance(source, (str, os.PathLike)) and is_volume(source):
            with private_folder() as room:
                found.append(cut(read_volume(source, room), grid, first.shape, given.get(k), k))
        else:
            found.append(_on(first, grid, read(source, k, given.get(k))))
    return tuple(found)


def elsewhere_notes(pictures: Sequence[Picture]) -> tuple[str, ...]:
    """Say which sources lie in another place than the first, though their files tell of one space.

    That is, by more than the pixels of one of the two, or half of the thickness of a slice.
    """
    first = pictures[0]
    grid, notes = first.metadata.grid, []
    for picture in pictures[1:] if grid is not None else ():
        own = (picture.measured or picture).metadata.grid
        if grid is None or own is None or not _comparable(grid, own):
            continue
        apart = np.abs(_corners(grid, first) - _corners(own, picture.measured or picture)).max()
        sizes = [np.linalg.norm(each) for one in (grid, own) for each in (one.across, one.down)]
        thick = [np.linalg.norm(one.through) / 2 for one in (grid, own)]
        if apart > max(*sizes, *thick) * (1 + 1e-6):
            notes.append(
                f"{picture.name}: it lies elsewhere in space than {first.name}, by up to "
                f"{apart:.3g} mm: --grid first interpolates it where that lies"
            )
    return tuple(notes)


def _comparable(one: Grid, other: Grid) -> bool:
    try:
        check_comparable(one, other.space, other.frame)
    except ValueError:
        return False
    return True


def _corners(grid: Grid, picture: Picture) -> NDArray[np.float64]:
    """Return where the outer corners of a picture lie, (3, 4), in millimetres."""
    height, width = picture.shape
    columns, rows = np.array([[0, width, 0, width], [0, 0, height, height]]) - 0.5
    found: NDArray[np.float64] = grid.matrix() @ np.stack([columns, rows, 0 * rows, 0 * rows + 1])
    return found[:3]


def cut(
    volume: Volume, grid: Grid, size: tuple[int, int], given: ValueRange | None, index: int
) -> Picture:
    """Return what a volume shows on a grid of so many rows and columns.

    Raises
    ------
    ImageError
        That is nothing, or it lies in another space.
    """
    try:
        decoded = volume.on(grid, size)
    except ValueError as error:
        raise ImageError(f"{volume.name}: {error}") from None
    if decoded.mask is not None and not decoded.mask.any():
        raise ImageError(f"{volume.name}: it shows nothing where the first source lies")
    decoded = replace(decoded, notes=(*decoded.notes, *volume.notes), reader=volume.reader)
    return picture_from_decoded(decoded, volume.name, given, index, True, volume.sha256)


def _grid_of(picture: Picture) -> Grid:
    if picture.metadata.grid is None:
        raise ImageError(
            f"{picture.name}: it does not say where it lies in space, as --grid first asks: NIfTI "
            "and DICOM can"
        )
    return picture.metadata.grid


def _on(first: Picture, grid: Grid, picture: Picture) -> Picture:
    """Return a slice as the first source's grid shows it."""
    own = _grid_of(picture)
    try:
        check_comparable(grid, own.space, own.frame)
    except ValueError as error:
        raise ImageError(f"{picture.name}: {error}") from None
    to_index = np.linalg.inv(own.matrix()) @ grid.matrix()
    planes = np.atleast_3d(picture.pixels)
    values, inside = sampled(_maps(planes), to_index, first.shape)
    if picture.mask is not None:
        shares, _ = sampled(_maps(picture.mask[..., None].astype(float)), to_index, first.shape)
        inside &= shares[0] > 1 - 1e-6
    if not inside.any():
        raise _elsewhere(first, picture, own, to_index)
    alpha = None
    if picture.alpha is not None:
        alpha = sampled(_maps(picture.alpha[..., None]), to_index, first.shape)[0][0]
    pixels = values[0] if picture.channels == 1 else np.moveaxis(values, 0, -1)
    shown = f"{picture.name}: interpolated on the grid of {first.name}"
    part = "" if inside.all() else f", of which it shows {inside.mean():.0%}"
    pixels = np.ascontiguousarray(pixels)
    pixels.flags.writeable = False
    return replace(
        picture,
        pixels=pixels,
        alpha=alpha,
        mask=None if inside.all() else inside,
        notes=(*picture.notes, shown + part),
        metadata=replace(NO_METADATA, grid=grid),
    )


def _maps(planes: NDArray[Any]) -> NDArray[Any]:
    """Return (H, W, C) as C volumes of one slice, (C, W, H, 1)."""
    return planes.transpose(2, 1, 0)[..., np.newaxis]


def _elsewhere(
    first: Picture, picture: Picture, own: Grid, to_index: NDArray[np.float64]
) -> ImageError:
    height, width = first.shape
    away = abs((to_index @ [(width - 1) / 2, (height - 1) / 2, 0, 1])[2])
    thick = float(np.linalg.norm(own.through))
    return ImageError(
        f"{picture.name}: it shows nothing where {first.name} lies, whose middle is "
        f"{away * thick:.3g} mm from its plane, and it is {thick:.3g} mm thick: give the slice "
        "that lies there, or the whole volume: a NIfTI file without a part, a folder of DICOM"
    )
