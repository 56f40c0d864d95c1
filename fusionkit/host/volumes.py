"""Volumes fused slice by slice: read once, one window for all slices, one volume as the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ImageError, UsageError
from ..imaging import Picture, Volume, value_ranges
from ..imaging.making import picture_from_decoded, spanned
from ..imaging.volume import AXES, values_on_disk
from ..imaging.volumes import read_volume
from ..recipes.deciding import Decision
from ..recipes.preparing import Made
from ..recipes.settings import Settings
from .scene import Scene
from .slices import Slices
from .volume_result import VolumeResult

if TYPE_CHECKING:
    from .pipeline import Pipeline

_EACH_ALIKE = ("align", "match", "radiance")
"""Preparations that would move, or brighten, each slice by itself."""


class VolumeScene:
    """K volumes of one scene, read, checked and planned for fusion, slice by slice.

    Parameters
    ----------
    sources
        Names of volumes (:func:`fusionkit.imaging.volumes.read_volume`).
    slices
        Those that are fused.
    settings, made
        As :meth:`.Scene.of` takes them.
    room
        An empty folder, where values are while this is in use.

    Raises
    ------
    ImageError, UsageError
        A volume cannot be read, or they are on no common grid.
    """

    def __init__(
        self, sources: Sequence[str], slices: Slices, settings: Settings, made: Made, room: Path
    ) -> None:
        if len(sources) < 2:
            raise UsageError("one volume only: fusion needs at least two of one scene")
        for called in _EACH_ALIKE:
            if called in made and made[called].get("mode") != "none":
                raise UsageError(
                    f"--{called} is made of each image by itself, and slices would no longer fit: "
                    "leave it out of --slices; --grid first brings volumes on one grid"
                )
        if settings.colour == "bands":
            raise UsageError("--colour bands is of files of bands, and --slices of volumes")
        self._settings, self._made = settings, made
        self.room = room
        given = value_ranges(settings.range, settings.stretch, len(sources))
        volumes = []
        for k, source in enumerate(sources):
            (room / str(k)).mkdir()
            volumes.append(read_volume(source, room / str(k)))
        self.volumes = tuple(volumes)
        self._ranges = [
            spanned(*each.extremes) if given.get(k) == "own" else given.get(k)
            for k, each in enumerate(volumes)
        ]
        self._own = [given.get(k) == "own" for k in range(len(volumes))]
        self._check_grids()
        self._slices = slices
        self.axis = slices.axis or volumes[0].axis
        count = volumes[0].count(self.axis)
        self.first, self.last = slices.first, count - 1 if slices.last is None else slices.last
        if self.last >= count:
            raise ImageError(
                f"{volumes[0].name}: its slices along {self.axis} are 0 to {count - 1}: "
                f"--slices {slices.text} are not there"
            )
        self.decision: Decision | None = None
        self.middle = self.scene((self.first + self.last) // 2)

    def decide(self, alike: bool) -> Decision:
        """Decide which task all slices are of, by the middle one."""
        self.decision = self.middle.decided(alike)
        return self.decision

    def of_task(self, settings: Settings) -> None:
        """Fuse as the recipe of the task says that was decided."""
        self._settings = settings
        self.middle = self.scene((self.first + self.last) // 2)

    @property
    def count(self) -> int:
        """How many slices are fused."""
        return self.last - self.first + 1

    @property
    def notes(self) -> tuple[str, ...]:
        """What the person should know of the volumes, and of the middle slice."""
        notes = [f"{each.name}: {note}" for each in self.volumes for note in each.notes]
        return (*notes, *self.middle.notes)

    def scene(self, number: int) -> Scene:
        """Return the scene of one slice."""
        first = self._picture(0, number, None)
        others = [self._picture(k, number, first) for k in range(1, len(self.volumes))]
        scene = Scene.of((first, *others), self._settings, self._made)
        return scene if self.decision is None else scene.of_task(self.decision, self._settings)

    def fuse(
        self,
        pipeline: Pipeline,
        on_pixels: Callable[[float], None] | None = None,
        on_note: Callable[[str], None] | None = None,
    ) -> VolumeResult:
        """Fuse all slices with a pipeline.

        ``on_pixels`` is called with the pixels that the estimator has evaluated, of all slices.
        """
        began = time.perf_counter()
        records: list[Mapping[str, Any]] = []
        fused: Volume | None = None
        for number in range(self.first, self.last + 1):
            scene = self.scene(number)
            self._check_shown(scene, number)
            result = scene.fuse(pipeline, on_pixels=on_pixels, on_note=on_note)
            on_note = None  # said once
            if fused is None:
                fused = self._empty(scene.format.dtype)
                fused = replace(fused, stored_range=(scene.format.low, scene.format.high))
                kept = result.metadata
            fused.shown(self.axis, number - self.first)[...] = result.pixels
            records.append(result.record)
        assert fused is not None
        record = self._record(records, time.perf_counter() - began)
        paths = tuple(each.name for each in self.volumes)
        fused = replace(
            fused,
            patient=kept.patient,
            grid=fused.grid if kept.grid else None,
            spacing=fused.spacing if self._settings.metadata else None,
        )
        return VolumeResult(fused, self.axis, record, kept, paths, self.room)

    def _check_grids(self) -> None:
        first = self.volumes[0]
        if self._settings.grid == "first":
            if first.grid is None:
                raise ImageError(
                    f"{first.name}: it does not say where it lies in space, as --grid first asks"
                )
            return
        if len({each.shape for each in self.volumes}) > 1:
            sizes = ", ".join(
                f"{each.name} is {'x'.join(map(str, each.shape))}" for each in self.volumes
            )
            raise ImageError(
                f"{sizes}: volumes of one size are fused slice by slice; --grid first brings the "
                "others on the first one's grid"
            )

    def _picture(self, source: int, number: int, first: Picture | None) -> Picture:
        """Return a slice of one source, or what it shows where the first one's lies."""
        volume = self.volumes[source]
        try:
            if first is None or self._settings.grid != "first":
                decoded = volume.slice(self.axis, number)
            else:
                assert first.metadata.grid is not None
                decoded = volume.on(first.metadata.grid, first.shape)
        except ValueError as error:
            raise ImageError(f"{volume.name}: {error}") from None
        name = f"{volume.name}#{self.axis}{number}"
        picture = picture_from_decoded(
            decoded, name, self._ranges[source], source, True, volume.sha256, empty=True
        )
        # What little of the window one slice fills says nothing of the volume.
        return replace(picture, narrow_note=None, stretched=self._own[source], reader=volume.reader)

    def _check_shown(self, scene: Scene, number: int) -> None:
        if scene.storage.alpha is not None:
            raise ImageError(
                f"{self.volumes[0].name}: on slice {self.axis}{number} there are pixels that no "
                f"source shows, and {scene.format.dtype} has no value for them: give --depth float"
            )

    def _empty(self, dtype: np.dtype[Any]) -> Volume:
        """Return the volume that slices are put into, on the disk."""
        first = self.volumes[0]
        shape = list(first.values.shape)
        shape[first.runs[AXES.index(self.axis)][0]] = self.count
        values = values_on_disk(self.room / "fused.npy", dtype, tuple(shape))
        return first.part(self.axis, self.first, self.last, values)

    def _record(self, records: Sequence[Mapping[str, Any]], seconds: float) -> dict[str, Any]:
        """Return what the records of all slices say, as that of one image."""
        record = dict(records[0])
        run = dict(record["run"])
        for name in ("nfe", "cached"):
            total = sum(each["run"][name] for each in records)
            run[name] = int(total) if total == int(total) else round(total, 4)
        run["retries"] = sum(each["run"]["retries"] for each in records)
        run["seconds"] = round(seconds, 3)
        record["run"] = run
        inputs = []
        for k, volume in enumerate(self.volumes):
            one = dict(record["inputs"][k])
            one |= {"name": volume.name, "sha256": volume.sha256, "shape": list(volume.shape)}
            one["masked"] = sum(each["inputs"][k]["masked"] for each in records)
            inputs.append({key: one[key] for key in one if key not in ("width", "height")})
        record["inputs"] = inputs
        record["metadata"] = {**record["metadata"], "from": self.volumes[0].name}
        about = [f"{each.name}: {note}" for each in self.volumes for note in each.notes]
        record["warnings"] = list(
            dict.fromkeys([*about, *(note for each in records for note in each["warnings"])])
        )
        record["volume"] = {
            "slices": self._slices.text,
            "axis": self.axis,
            "first": self.first,
            "last": self.last,
        }
        return record
