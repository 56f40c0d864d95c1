"""Fusing one scene after another in one process, with models that are loaded once."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contract.paths import split_part
from ..contract.stray import prints_on_stderr
from ..errors import PluginError, UsageError
from ..host.saving import TRACE_FILES, is_result, listed_maps, make_folder
from ..host.weight_maps import hold_maps
from ..recipes.finding import AUTO, DEFAULT_TASK
from ..recipes.preparing import matches
from . import explain
from .composed import Composed, Recipes
from .jobs import Job, check_folders
from .run_flags import parsed
from .selection import Selection

if TYPE_CHECKING:
    from ..host.parts import Part
    from ..host.pipeline import Pipeline
    from ..host.scene import Scene

_MOST_BUILT = 256  # components that rows of a manifest ask for, before they are made anew


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes
    ----------
    name, output
        Those of the job, and where its image is.
    line
        What a person is told of a result.
    pixels
        Of the fused image.
    seconds
        That it took.
    problem
        Why there is no result; None if there is.
    skipped
        Whether another run made it meanwhile.
    notes
        What the person should know and has not been told, each with whether once is enough.
    """

    name: str
    output: str = ""
    line: str = ""
    pixels: int = 0
    seconds: float = 0.0
    problem: str | None = None
    skipped: bool = False
    notes: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True)
class Watch:
    """Who is told while a scene is fused.

    Attributes
    ----------
    note
        Is given a note, and whether it is of all scenes, so that once is enough.
    pixels
        Returns what to call with the pixels that the estimator has evaluated, if anything.
    told
        Returns what the record of a result says of a run, before it is written.
    """

    note: Callable[[str, bool], None]
    pixels: Callable[[Scene, Pipeline, str], Callable[[float], None] | None]
    told: Callable[[dict[str, Any]], dict[str, Any]] = lambda record: record


@dataclass(frozen=True)
class Read:
    """A job whose sources are read, what fuses it and where it goes."""

    job: Job
    composed: Composed
    output: str


@dataclass(frozen=True)
class _ReadScene(Read):
    scene: Scene


class Fuser:
    """Fuses what a command line asks for, scene by scene.

    Everything that can be wrong with the recipe without building it shows when this is made;
    what is wrong with images shows before a model is loaded.

    Parameters
    ----------
    arguments, selection, given
        The command line, and what it says.
    """

    def __init__(
        self, arguments: Sequence[str], selection: Selection, given: argparse.Namespace
    ) -> None:
        self.arguments = tuple(arguments)
        self.registry = selection.registry
        self._given = given
        self._built: dict[str, Part] = {}
        self._recipes = Recipes(selection, given, self._built)
        self._of_words: dict[tuple[str, ...], Recipes] = {}

    def recipes(self, words: tuple[str, ...] = ()) -> Recipes:
        """Return what the command line fuses by if it has these words too, of a manifest's row.

        Raises
        ------
        UsageError
            They are wrong.
        """
        if not words:
            return self._recipes
        if words not in self._of_words:
            if len(self._built) > _MOST_BUILT:
                self._built.clear()
                self._of_words.clear()
            selection, given = parsed([*self.arguments, *words], self.registry)
            given.threads = self._given.threads
            self._of_words[words] = Recipes(selection, given, self._built)
        return self._of_words[words]

    def done(self, job: Job) -> bool:
        """Whether a run of the same recipe, code and sources has finished a job of several.

        Raises
        ------
        UsageError
            There is a result, but not that one.
        """
        earlier = None if self._given.overwrite else job.earlier()
        if earlier is None:
            return False
        output, record = earlier
        try:
            same = self.recipes(job.words).made(record, job.sources)
            same = same and self._of_slices(record)
        except UsageError:  # a source is gone: reading it says so
            return False
        if not same:
            raise UsageError(
                f"{output} is of another recipe, of other sources, or of other code: "
                "give another folder, or --overwrite"
            )
        if job.trace is not None and not is_result(Path(job.trace) / TRACE_FILES[0]):
            raise UsageError(f"{output} is finished, without a trace: give --overwrite")
        if job.maps is not None and not hold_maps(job.maps):
            raise UsageError(f"{output} is finished, without its maps: give --overwrite")
        return True

    def attempt(self, job: Job, watch: Watch) -> Outcome:
        """Fuse one job of several; whatever goes wrong with it is its outcome.

        What another run has made meanwhile is left as it is.

        Raises
        ------
        FusionkitError
            What fuses cannot be loaded, which is no fault of this job's.
        """
        began = time.perf_counter()
        try:
            if self.done(job):
                return Outcome(job.name, skipped=True)
            read = self._read(job, watch)
        except Exception as error:
            return self._failed(job, error, began)
        if not job.words:
            self._loaded(read.composed, watch)
        try:
            return self._fused(read, watch, began)
        except Exception as error:
            return self._failed(job, error, began)

    def fuse(self, job: Job, watch: Watch) -> Outcome:
        """Fuse a job, and raise what goes wrong."""
        began = time.perf_counter()
        return self._fused(self._read(job, watch), watch, began)

    def _of_slices(self, record: Mapping[str, Any]) -> bool:
        """Whether a record is of the slices that are asked for, or of no volume if none are."""
        volume = record.get("volume")
        said = volume.get("slices") if isinstance(volume, dict) else None
        return bool(said == (self._given.slices and self._given.slices.text))

    def _failed(self, job: Job, error: Exception, began: float) -> Outcome:
        problem = str(explain(error))
        try:
            if not isinstance(error, UsageError) or not self.done(job):
                raise error
        except Exception:
            return Outcome(job.name, problem=problem, seconds=time.perf_counter() - began)
        return Outcome(job.name, skipped=True)  # what was in the way is what it would have made

    def _read(self, job: Job, watch: Watch) -> Read:
        """Read a scene, and check that its result can be written."""
        from ..host.spectral import load_scene

        recipes = self.recipes(job.words)
        composed = recipes.default
        scene = load_scene(job.sources, composed.settings, composed.made)
        if recipes.decides:
            decision = scene.decided(matches(composed.made))
            composed = recipes.of_task(decision.task)
            scene = scene.of_task(decision, composed.settings)
        composed.check_for(len(scene.pictures))
        output = job.output
        if job.extensions:
            output += _extension(job, scene)
        scene.check_output(output, overwrite=self._given.overwrite, resume=bool(job.name))
        for folder in (job.trace, job.maps):
            if folder is not None and job.name:  # that of one is to be in one, of many it is made
                make_folder(Path(folder).parent)
        check_folders(job, output, self._replaces(job), len(scene.pictures))
        for note in (*scene.notes, *scene.notes_on(output)):
            watch.note(note, False)
        return _ReadScene(job, composed, output, scene)

    def _fused(self, read: Read, watch: Watch, began: float) -> Outcome:
        """Fuse and write."""
        from ..tracing import Trace, source_names

        assert isinstance(read, _ReadScene)
        job, scene, overwrite = read.job, read.scene, self._given.overwrite
        pipeline = self._loaded(read.composed, watch)
        trace = None if job.trace is None else Trace(pipeline, source_names(job.sources))
        try:
            with prints_on_stderr("plugin"):
                result = scene.fuse(
                    pipeline,
                    on_step=trace,
                    on_pixels=watch.pixels(scene, pipeline, job.name),
                    on_note=lambda note: watch.note(note, False),
                    maps=job.maps is not None,
                )
        except SystemExit as error:
            raise PluginError(f"a plugin ended the program: SystemExit: {error}") from error
        # First: a result that is there is whole.
        if trace is not None and job.trace is not None:
            trace.save(job.trace, overwrite=self._replaces(job)[0])
        if result.weight_maps is not None and job.maps is not None:
            result.weight_maps.save(job.maps, overwrite=self._replaces(job)[1])
        result.record.update(watch.told(result.record))
        result.save(read.output, overwrite=overwrite)
        height, width = scene.pictures[0].shape
        count, seconds = len(scene.pictures), time.perf_counter() - began
        said = f"{width}x{height}, {count} images, {self._task(job, scene)}, {seconds:.1f} s"
        line = f"{read.output}: {said}"
        return Outcome(job.name, read.output, line, height * width, seconds)

    def _replaces(self, job: Job) -> tuple[bool, bool]:
        """Whether a trace, and maps, may be replaced: what was left of one without a result."""
        if self._given.overwrite or not job.name:
            return self._given.overwrite, self._given.overwrite
        left = job.trace is not None and is_result(Path(job.trace) / TRACE_FILES[0])
        return left, job.maps is not None and bool(listed_maps(job.maps))

    def _task(self, job: Job, scene: Scene) -> str:
        """Return how a person is told what a scene is fused by, and why if that was decided."""
        if scene.decision is not None:
            return f"{scene.decision.task} ({scene.decision.why})"
        given = self.recipes(job.words).given
        if given.recipe:
            return Path(given.recipe).name
        return DEFAULT_TASK if given.task in (None, AUTO) else str(given.task)

    def _loaded(self, composed: Composed, watch: Watch) -> Pipeline:
        """Return the pipeline, composed when it is first wanted; tell what is odd in it."""
        pipeline = composed.pipeline
        for complaint in (*composed.idle(), *composed.other_weights()):
            watch.note(complaint, True)
        return pipeline


def _extension(job: Job, scene: Scene) -> str:
    """Return the format asked for, or a lossless one of the sources' kind that fits the result."""
    if len(job.extensions) == 1:
        return job.extensions[0]
    kinds = {Path(split_part(source)[0]).suffix.lower() for source in job.sources}
    if kinds == {".npy"}:
        return ".npy"
    return ".tif" if kinds & {".tif", ".tiff"} or scene.format.dtype.kind == "f" else ".png"
