"""Which names are volumes, and reading them: files of slices, and folders that are series."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from fusionkit.contract.hashes import hash_of_files
from fusionkit.contract.paths import refuse_url, split_part
from fusionkit.contract.reading import lacking, readers, readers_of
from fusionkit.contract.registry import Provided
from fusionkit.contract.stray import prints_on_stderr
from fusionkit.errors import ImageError
from fusionkit.imaging._sniff import HEAD
from fusionkit.imaging._tiff_volume import is_tiff, read_tiff_volume
from fusionkit.imaging.making import spanned
from fusionkit.imaging.read import default_max_pixels, enough_memory
from fusionkit.imaging.volume import Volume

_WHOLE = re.compile(r"t\d+")  # a part that is a volume of several
_LOOKED_AT = 64  # files of a folder, until it is none of slices


def is_series(name: str | os.PathLike[str]) -> bool:
    """Whether it is a folder, or ``FOLDER#PART``, whose files are slices, as DICOM's are."""
    folder = split_part(name)[0]
    return os.path.isdir(folder) and bool(_of_folder(Path(folder)))


def is_volume(name: str | os.PathLike[str]) -> bool:
    """Whether it is a series, or a file that is a volume, and no slice of it."""
    file, part = split_part(name)
    if os.path.isdir(file):
        return is_series(name)
    return (not part or bool(_WHOLE.fullmatch(part))) and any(
        each.component.read_volume is not None and not each.component.folders
        for each in readers_of(file)
    )


def may_be_volume(name: str | os.PathLike[str]) -> bool:
    """Whether its name is that of a volume, or of a TIFF, whose pages may be slices."""
    return is_volume(name) or os.path.splitext(split_part(name)[0])[1].lower() in (".tif", ".tiff")


def read_volume(name: str | os.PathLike[str], room: Path) -> Volume:
    """Read a whole volume; large arrays go into files in the folder ``room``, which is empty.

    Parameters
    ----------
    name
        A file, ``FILE#t2``, a folder of slices, or a TIFF, ``FILE#z=all,c=1``.

    Raises
    ------
    ImageError
        It is none, or cannot be read.
    """
    called = os.fspath(name)
    file = split_part(called)[0]
    refuse_url(file)
    if not os.path.exists(file):
        raise ImageError(f"{called}: there is no such file: check the path")
    found = _of_folder(Path(file)) if os.path.isdir(file) else _of_file(called)
    if not found and not os.path.isdir(file) and is_tiff(file):
        with enough_memory(called):
            return _named(read_tiff_volume(called, room, default_max_pixels()), called)
    if not found and (need := lacking(called)):
        raise ImageError(f"{called}: {need}")
    if not found:
        knowing = [each for each in readers() if each.component.read_volume is not None]
        known = ", ".join(["TIFF (OME, ImageJ)", *(each.qualified for each in knowing)])
        raise ImageError(f"{called}: this is no volume that can be read: give one of {known}")
    if len(found) > 1:
        listed = " and ".join(each.qualified for each in found)
        raise ImageError(f"{called}: {listed} both read this: leave one out, --no-plugin NAME")
    return _read(found[0], called, room)


def _read(provided: Provided, called: str, room: Path) -> Volume:
    try:
        with prints_on_stderr(f"plugin {provided.plugin.name}"):
            volume = provided.component.read_volume(called, room)
    except MemoryError:
        raise ImageError(f"{called}: there is not enough memory to read it") from None
    except (Exception, SystemExit) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise ImageError(f"{called}: {provided.label} cannot read it: {said}") from error
    if not isinstance(volume, Volume) or volume.values.ndim != 3:
        raise ImageError(f"{called}: {provided.label} made no volume of it")
    return _named(volume, called, f"{provided.qualified}, {provided.plugin.source}")


def _named(volume: Volume, called: str, reader: str | None = None) -> Volume:
    """Return a volume with what the host says of it; refuse slices that are too large."""
    most = default_max_pixels()
    sides = sorted(volume.values.shape)
    if sides[1] * sides[2] > most:
        raise ImageError(f"{called}: slices of more than {most} pixels (FUSIONKIT_MAX_PIXELS)")
    low, high = volume.stored_range
    if low == high == volume.extremes[0] == volume.extremes[1]:
        volume = replace(volume, stored_range=spanned(low, high))
    files = volume.files or (split_part(called)[0],)
    return replace(
        volume,
        name=called,
        sha256=hash_of_files(files),
        reader=reader,
    )


def _of_file(name: str) -> list[Provided]:
    with open(split_part(name)[0], "rb") as file:
        head = file.read(HEAD)
    found = [each for each in readers_of(name) if each.component.read_volume is not None]
    return [each for each in found if each.component.accepts(head, name)]


def _of_folder(folder: Path) -> list[Provided]:
    """Return the readers that take one of the first files of a folder for a slice."""
    taking = [each for each in readers() if each.component.folders]
    for name, head in islice(_heads(folder), _LOOKED_AT) if taking else ():
        found = [each for each in taking if each.component.accepts(head, name)]
        if found:
            return found
    return []


def _heads(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            with open(path, "rb") as file:
                yield str(path), file.read(HEAD)
