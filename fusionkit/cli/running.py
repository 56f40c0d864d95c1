"""Fusing what a command line asks for, scene by scene, whatever becomes of the single one."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contract.stray import prints_on_stderr
from ..errors import PluginError, UsageError
from ..host.saving import TRACE_FILES, is_result, made_of, make_folder
from ..host.weight_maps import hold_maps
from ..imaging.files import sweep
from ..recipes.finding import AUTO, DEFAULT_TASK, tasks
from ..recipes.preparing import matches
from . import complain, explain, say
from .composed import Composed
from .failures import failures_path, write_failures
from .jobs import Job, Order, check_folders, check_kept
from .progress import Progress
from .selection import Selection

if TYPE_CHECKING:
    from ..host.parts import Part
    from ..host.pipeline import Pipeline
    from ..host.scene import Scene


@dataclass(frozen=True)
class Ready:
    """A scene that is read, what fuses it and where it goes.

    ``began`` is when, by the performance counter.
    """

    job: Job
    scene: Scene
    composed: Composed
    output: str
    began: float


class Runner:
    """Fuses scene by scene, with one pipeline a task, and tells what became of each.

    Everything that can be wrong with the recipe without building it shows when it is made; what
    is wrong with images shows before a model is loaded.
    """

    def __init__(self, selection: Selection, given: argparse.Namespace) -> None:
        self._selection = selection
        self._given = given
        self._built: dict[str, Part] = {}
        self._default = Composed(selection, given, self._built)
        self._tasks = {DEFAULT_TASK: self._default} if selection.decides else {}
        self._said: set[str] = set()

    def run(self, order: Order) -> int:
        """Fuse everything; return the exit code.

        An error of the only scene is raised; one of several is told, and the others go on.
        """
        for note in order.notes:
            self._inform(f"warning: {note}")
        for folder in {Path(job.output).parent for job in order.jobs}:
            sweep(folder)
        if order.jobs and not order.jobs[0].name:
            with Progress([1], self._given.quiet) as progress:
                ready = self._read(order.jobs[0], order, progress)
                self._fuse(ready, self._loaded(ready.composed), progress)
            return 0
        problems = dict(order.problems)
        todo = self._unfinished(order, problems)
        for name, why in problems.items():
            complain(f"{name}: {why}", 1)
        with Progress([job.size for job in todo], self._given.quiet) as progress:
            for job in todo:
                with self._isolated(job, problems, progress):
                    ready = self._read(job, order, progress)
                if job.name in problems:
                    continue
                pipeline = self._loaded(ready.composed)  # what goes wrong here goes wrong for all
                with self._isolated(job, problems, progress):
                    self._fuse(ready, pipeline, progress)
                    order.kept.add(ready.output, f"result of scene {job.name},")
        total = len(order.jobs) + len(order.problems)
        listed = failures_path(self._given.output, self._given.shard)
        written = write_failures(listed, problems)
        if problems:
            where = f": {listed}" if written else f"; {listed} is another file, and was left alone"
            say(f"{total - len(problems)} of {total} fused, {len(problems)} failed{where}")
        return 1 if problems else 0

    def _unfinished(self, order: Order, problems: dict[str, str]) -> list[Job]:
        """Return the jobs that no earlier run of this recipe has done, and tell of the others."""
        todo = []
        done = 0
        for job in order.jobs:
            earlier = None if self._given.overwrite else job.earlier()
            if earlier is None:
                todo.append(job)
                continue
            output, record = earlier
            try:
                recipe = self._expected(record)
                same = recipe is not None and made_of(record, recipe, job.sources)
            except UsageError:  # a source is gone: reading it says so
                todo.append(job)
                continue
            if not same:
                problems[job.name] = (
                    f"{output} is of another recipe, or of other sources: "
                    "give another folder, or --overwrite"
                )
            elif job.trace is not None and not is_result(Path(job.trace) / TRACE_FILES[0]):
                problems[job.name] = f"{output} is finished, without a trace: give --overwrite"
            elif job.maps is not None and not hold_maps(job.maps):
                problems[job.name] = f"{output} is finished, without its maps: give --overwrite"
            else:
                done += 1
        if done:
            left = f"; {len(todo)} to go" if todo else ""
            self._inform(f"{done} of {len(order.jobs)} scenes are finished already{left}")
        return todo

    @contextmanager
    def _isolated(self, job: Job, problems: dict[str, str], progress: Progress) -> Iterator[None]:
        """Tell of one scene of several what went wrong, whatever it was."""
        try:
            yield
        except Exception as error:
            problems[job.name] = str(explain(error))
            progress.say(f"error: {job.name}: {problems[job.name]}")
            progress.end()

    def _read(self, job: Job, order: Order, progress: Progress) -> Ready:
        """Read a scene, and check that its result can be written."""
        from ..host.spectral import load_scene

        began = time.perf_counter()
        progress.begin(job.name or Path(job.output).name)
        composed = self._default
        scene = load_scene(job.sources, composed.settings, composed.made)
        if self._selection.decides:
            decision = scene.decided(matches(composed.made))
            composed = self._of_task(decision.task)
            scene = scene.of_task(decision, composed.settings)
        composed.check_for(len(scene.pictures))
        output = job.output
        if job.extensions:
            output += _extension(job, scene)
        overwrite = self._given.overwrite
        check_kept(job, output, order.kept, len(scene.pictures))
        scene.check_output(output, overwrite=overwrite, resume=bool(job.name))
        for folder in (job.trace, job.maps):
            if folder is not None and job.name:  # that of one is to be in one, of many it is made
                make_folder(Path(folder).parent)
        check_folders(job, output, overwrite, len(scene.pictures))
        for note in (*scene.notes, *scene.notes_on(output)):
            self._warner(progress)(note)
        return Ready(job, scene, composed, output, began)

    def _fuse(self, ready: Ready, pipeline: Pipeline, progress: Progress) -> None:
        """Fuse and write, and print where it is."""
        from ..tracing import Trace, source_names

        job, scene, overwrite = ready.job, ready.scene, self._given.overwrite
        trace = None if job.trace is None else Trace(pipeline, source_names(job.sources))
        try:
            with prints_on_stderr("plugin"):
                watch = progress.watch(scene, pipeline)
                result = scene.fuse(
                    pipeline,
                    on_step=trace,
                    on_pixels=watch,
                    on_note=self._warner(progress),
                    maps=job.maps is not None,
                )
        except SystemExit as error:
            raise PluginError(f"a plugin ended the program: SystemExit: {error}") from error
        result.save(ready.output, overwrite=overwrite)
        if trace is not None and job.trace is not None:
            trace.save(job.trace, overwrite=overwrite)
        if result.weight_maps is not None and job.maps is not None:
            result.weight_maps.save(job.maps, overwrite=overwrite)
        progress.end()
        if not self._given.quiet:
            height, width = scene.pictures[0].shape
            count, seconds = len(scene.pictures), time.perf_counter() - ready.began
            said = f"{width}x{height}, {count} images, {self._task(scene)}, {seconds:.1f} s"
            progress.print(f"{ready.output}: {said}")

    def _task(self, scene: Scene) -> str:
        """Return how a person is told what a scene is fused by, and why if that was decided."""
        if scene.decision is not None:
            return f"{scene.decision.task} ({scene.decision.why})"
        given = self._given
        if given.recipe:
            return Path(given.recipe).name
        return DEFAULT_TASK if given.task in (None, AUTO) else str(given.task)

    def _warner(self, progress: Progress) -> Callable[[str], None]:
        """Return what tells the person a note, unless nobody is to hear."""

        def tell(note: str) -> None:
            if not self._given.quiet:
                progress.say(f"warning: {note}")

        return tell

    def _of_task(self, name: str) -> Composed:
        """Return the recipe of a task that was decided; the default's if that is its name."""
        if name not in self._tasks:
            self._tasks[name] = Composed(self._selection.of_task(name), self._given, self._built)
        return self._tasks[name]

    def _expected(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Return the recipe that a record of this run would hold, None if none of this kind would.

        A task that was decided from the same sources is not decided again.
        """
        if not self._selection.decides:
            return self._default.expected(record)
        task = record.get("task")
        name = task.get("name") if isinstance(task, dict) else None
        return self._of_task(name).expected(record) if name in tasks() else None

    def _loaded(self, composed: Composed) -> Pipeline:
        """Return the pipeline, composed when it is first wanted; say once what is idle in it."""
        pipeline = composed.pipeline
        for complaint in composed.idle():
            if complaint not in self._said:
                self._said.add(complaint)
                self._inform(f"warning: {complaint}")
        return pipeline

    def _inform(self, message: str) -> None:
        if not self._given.quiet:
            say(message)


def _extension(job: Job, scene: Scene) -> str:
    """Return the format asked for, or a lossless one of the sources' kind that fits the result."""
    if len(job.extensions) == 1:
        return job.extensions[0]
    kinds = {Path(source).suffix.lower() for source in job.sources}
    if kinds == {".npy"}:
        return ".npy"
    return ".tif" if kinds & {".tif", ".tiff"} or scene.format.dtype.kind == "f" else ".png"
