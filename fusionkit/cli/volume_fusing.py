"""Jobs whose sources are volumes, fused slice by slice: ``--slices``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..contract.counting import number_of
from ..contract.stray import prints_on_stderr
from ..errors import PluginError
from ..host.keeping import Kept
from ..host.saving import check_result, record_path_of
from ..host.saving_folder import check_free_folder
from ..host.volumes import VolumeScene
from ..imaging import check_fits
from ..imaging.files import private_folder
from ..imaging.write import volume_writer
from ..recipes.preparing import matches
from .fusing import Fuser, Outcome, Read, Watch
from .jobs import Job

if TYPE_CHECKING:
    from ..host.pipeline import Pipeline


@dataclass(frozen=True)
class _ReadVolumes(Read):
    """Volumes that are read; with an extension, the result goes into a folder of slices."""

    scene: VolumeScene
    extension: str


class VolumeFuser(Fuser):
    """Fuses volumes where that is asked for, and else what :class:`.fusing.Fuser` does."""

    _room: Path | None = None

    def attempt(self, job: Job, watch: Watch) -> Outcome:
        """Fuse one job of several, as :meth:`.fusing.Fuser.attempt`."""
        with self._space():
            return super().attempt(job, watch)

    def fuse(self, job: Job, watch: Watch) -> Outcome:
        """Fuse a job, and raise what goes wrong."""
        with self._space():
            return super().fuse(job, watch)

    @contextmanager
    def _space(self) -> Iterator[None]:
        """Have room for the values of volumes on the disk, if there are to be any."""
        if self._given.slices is None:
            yield
            return
        with private_folder() as room:
            self._room = room
            yield

    def _read(self, job: Job, watch: Watch) -> Read:
        if self._given.slices is None:
            return super()._read(job, watch)
        assert self._room is not None
        recipes = self.recipes(job.words)
        composed = recipes.default
        scene = VolumeScene(
            job.sources, self._given.slices, composed.settings, composed.made, self._room
        )
        if recipes.decides:
            composed = recipes.of_task(scene.decide(matches(composed.made)).task)
            scene.of_task(composed.settings)
        composed.check_for(len(scene.volumes))
        output, extension = self._place(job)
        self._check(scene, output, extension, bool(job.name))
        for note in (*scene.notes, *scene.middle.notes_on(_first_file(output, extension))):
            watch.note(note, False)
        return _ReadVolumes(job, composed, output, scene, extension)

    def _place(self, job: Job) -> tuple[str, str]:
        """Return where a result goes, and the extension of its slices if that is a folder."""
        if not job.extensions:
            return job.output, ""
        if not job.name:
            return job.output, job.extensions[0]
        whole = job.output + job.extensions[0]
        return whole, ""

    def _check(self, scene: VolumeScene, output: str, extension: str, resume: bool) -> None:
        """Raise, before anything is computed, if the result could not be written."""
        Kept(each.name for each in scene.volumes).refuse(output, record_path_of(output))
        middle = scene.middle
        one = _first_file(output, extension)
        check_fits(one, middle.format.dtype, False, middle.pictures[0].shape)
        if extension:
            check_free_folder(output)
        else:
            volume_writer(output)
            check_result(output, overwrite=self._given.overwrite, resume=resume)

    def _fused(self, read: Read, watch: Watch, began: float) -> Outcome:
        if not isinstance(read, _ReadVolumes):
            return super()._fused(read, watch, began)
        scene, job = read.scene, read.job
        pipeline = self._loaded(read.composed, watch)
        try:
            with prints_on_stderr("plugin"):
                result = scene.fuse(
                    pipeline,
                    on_pixels=_of_all(scene, pipeline, job, watch),
                    on_note=lambda note: watch.note(note, False),
                )
        except SystemExit as error:
            raise PluginError(f"a plugin ended the program: SystemExit: {error}") from error
        result.record.update(watch.told(result.record))
        result.save(read.output, read.extension, overwrite=self._given.overwrite)
        height, width = scene.middle.pictures[0].shape
        seconds = time.perf_counter() - began
        task = self._task(job, scene.middle)
        slices = number_of(scene.count, "slice")
        said = f"{width}x{height}, {slices}, {len(scene.volumes)} volumes, {task}"
        line = f"{read.output}: {said}, {seconds:.1f} s"
        return Outcome(job.name, read.output, line, height * width * scene.count, seconds)


def _first_file(output: str, extension: str) -> str:
    """Return the name of a file of a result, which may be a folder."""
    return f"{output}/0001{extension}" if extension else output


def _of_all(
    scene: VolumeScene, pipeline: Pipeline, job: Job, watch: Watch
) -> Callable[[float], None] | None:
    """Return what to call with pixels of all slices, where somebody looks at those of one."""
    of_one = watch.pixels(scene.middle, pipeline, job.name)
    if of_one is None:
        return None
    return lambda pixels: of_one(pixels / scene.count)
