"""A fused volume: one file, or a folder of slices, with its record beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..imaging import Volume, encode_picture, held
from ..imaging.files import explained
from ..imaging.metadata import Metadata
from ..imaging.volume import AXES
from ..imaging.write import volume_writer
from .keeping import Kept
from .saving import record_path_of, save_result
from .saving_folder import save_folder


@dataclass(frozen=True, eq=False)
class VolumeResult:
    """A fused volume and how it was made.

    Attributes
    ----------
    volume
        Its values are on the disk.
    axis
        Along which it was fused slice by slice.
    record
        As that of an image, with what is said of the slices under ``volume``.
    metadata
        What is carried from the first source.
    sources
        Their names.
    room
        Where there is room for files.
    """

    volume: Volume
    axis: str
    record: dict[str, Any]
    metadata: Metadata
    sources: tuple[str, ...]
    room: Path

    def save(self, path: str, extension: str = "", overwrite: bool = False) -> None:
        """Write the volume and the record beside it (``fused.nii.gz.json``).

        With an extension it goes into a folder, as a file for each slice.

        Raises
        ------
        UsageError, ImageError
            The file or the folder exists, is one of the sources, or cannot be written.
        """
        from .record import metadata_record

        Kept(self.sources).refuse(path, record_path_of(path))
        _, metadata = held(f"slice{extension}" if extension else path, None, 1, self.metadata)
        lost = ("distance of slices",) if extension and self._says_how_far() else ()
        self.record["metadata"] |= metadata_record(metadata, lost)
        if extension:
            save_folder(path, self._files(extension, metadata), self.record)
            return
        whole = self.room / "whole"
        with explained(str(whole)), open(whole, "wb") as file:
            volume_writer(path)(self.volume, file)
        save_result(path, whole, self.record, overwrite=overwrite)

    def _says_how_far(self) -> bool:
        """Whether nothing but its distances tells how far slices are apart, which files do not."""
        along, _ = self.volume.runs[AXES.index(self.axis)]
        spacing = self.volume.spacing
        return self.volume.grid is None and spacing is not None and math.isfinite(spacing[along])

    def _files(self, extension: str, metadata: Metadata) -> Iterator[tuple[str, bytes]]:
        quality = self.record["recipe"]["quality"]
        for number in range(self.volume.count(self.axis)):
            slice_ = self.volume.slice(self.axis, number)
            kept = slice_.metadata if metadata.grid is not None else metadata
            name = f"{number + 1:04}{extension}"
            yield name, encode_picture(
                name, slice_.pixels, quality=quality, metadata=kept,
                stored_range=slice_.stored_range,
            )  # fmt: skip
