"""Fusing what a command line asks for, scene by scene, whatever becomes of the single one."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contract.options import to_mapping
from ..contract.preparation import PREPARATION
from ..contract.stray import prints_on_stderr
from ..errors import PluginError, UsageError
from ..host.saving import TRACE_FILES, check_folder, is_result, made_of, make_folder
from ..imaging.files import sweep
from ..recipes.finding import DEFAULT_TASK, METRICS, RECIPE_KINDS
from ..recipes.layers import (
    check_for_sources,
    choose,
    choose_preparations,
    resolve_preparations,
    resolve_settings,
)
from ..recipes.preparing import PREPARATIONS, RESTORES_SIZE
from ..sampling.levels import schedule_of
from . import complain, explain, say
from .arguments import set_threads
from .failures import failures_path, write_failures
from .jobs import Job, Order, check_kept
from .progress import Progress
from .selection import Selection

if TYPE_CHECKING:
    from ..host.pipeline import Pipeline
    from ..host.scene import Scene


@dataclass(frozen=True)
class Ready:
    """A scene that is read, and where it goes; ``began`` is when, by the performance counter."""

    job: Job
    scene: Scene
    output: str
    began: float


class Runner:
    """Fuses scene by scene, with one pipeline, and tells what became of each.

    Everything that can be wrong with the recipe without building it shows when it is made; what
    is wrong with images shows before a model is loaded.
    """

    def __init__(self, selection: Selection, given: argparse.Namespace) -> None:
        self._selection = selection
        self._given = given
        self._settings = resolve_settings(selection.recipe)
        schedule_of(self._settings)
        self._recipe = to_mapping(self._settings)
        registry = selection.registry
        self._choices = list(choose_preparations(selection.recipe, registry).values())
        for kind in RECIPE_KINDS:
            choice = choose(kind, selection.recipe.get(kind.group, {}), registry)
            self._recipe[kind.group] = choice.as_table()
            self._choices.append(choice)
        self._recipe |= resolve_preparations(selection.recipe, registry)
        self._task = given.task or (Path(given.recipe).name if given.recipe else DEFAULT_TASK)
        self._pipeline: Pipeline | None = None

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
                self._fuse(ready, self._loaded(), progress)
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
                pipeline = self._loaded()  # what goes wrong here goes wrong for all
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
                same = made_of(record, self._expected(record), job.sources)
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
            else:
                done += 1
        if done:
            left = f"; {len(todo)} to go" if todo else ""
            self._inform(f"{done} of {len(order.jobs)} scenes are finished already{left}")
        return todo

    def _expected(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the recipe that a record of this run would hold; some of it is found by running.

        That is the precision, which sampler takes the place of one without anything to do, and
        what restores sources of fewer pixels.
        """
        recipe = dict(self._recipe)
        if self._settings.precision == "auto":
            recipe["precision"] = record["recipe"].get("precision")
        if record.get("run", {}).get("target_only"):
            recipe["sampler"] = record["recipe"].get("sampler")
        asked = recipe.get(PREPARATIONS, {})
        for called, table in record["recipe"].get(PREPARATIONS, {}).items():
            if called not in asked and table == self._restoring:
                recipe[PREPARATIONS] = asked = {**asked, called: table}
        return recipe

    @cached_property
    def _restoring(self) -> dict[str, Any]:
        """The preparation that sources of fewer pixels get, as a record has it."""
        table = {"name": RESTORES_SIZE}
        return choose(PREPARATION, table, self._selection.registry).as_table()

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
        asked = self._recipe.get(PREPARATIONS, {})
        scene = load_scene(job.sources, self._settings, look_for_noise="noise" not in asked)
        check_for_sources(self._choices, len(scene.pictures), self._selection.registry)
        output = job.output
        if job.extensions:
            output += _extension(job, scene)
        overwrite = self._given.overwrite
        check_kept(job, output, order.kept)
        scene.check_output(output, overwrite=overwrite, resume=bool(job.name))
        if job.trace is not None:
            if job.name:  # the folder of one trace is to be there, those of many are made
                make_folder(Path(job.trace).parent)
            check_folder(job.trace, overwrite=overwrite, beside=output)
        for note in (*scene.notes, *scene.notes_on(output)):
            self._warner(progress)(note)
        return Ready(job, scene, output, began)

    def _fuse(self, ready: Ready, pipeline: Pipeline, progress: Progress) -> None:
        """Fuse and write, and print where it is."""
        from ..tracing import Trace, source_names

        job, scene, overwrite = ready.job, ready.scene, self._given.overwrite
        trace = None if job.trace is None else Trace(pipeline, source_names(job.sources))
        try:
            with prints_on_stderr("plugin"):
                watch = progress.watch(scene, pipeline)
                result = scene.fuse(
                    pipeline, on_step=trace, on_pixels=watch, on_note=self._warner(progress)
                )
        except SystemExit as error:
            raise PluginError(f"a plugin ended the program: SystemExit: {error}") from error
        result.save(ready.output, overwrite=overwrite)
        if trace is not None and job.trace is not None:
            trace.save(job.trace, overwrite=overwrite)
        progress.end()
        if not self._given.quiet:
            height, width = scene.pictures[0].shape
            count, seconds = len(scene.pictures), time.perf_counter() - ready.began
            said = f"{width}x{height}, {count} images, {self._task}, {seconds:.1f} s"
            progress.print(f"{ready.output}: {said}")

    def _warner(self, progress: Progress) -> Callable[[str], None]:
        """Return what tells the person a note, unless nobody is to hear."""

        def tell(note: str) -> None:
            if not self._given.quiet:
                progress.say(f"warning: {note}")

        return tell

    def _loaded(self) -> Pipeline:
        """Return the pipeline, composed when it is first wanted."""
        if self._pipeline is None:
            from ..host.composing import compose

            given, selection = self._given, self._selection
            set_threads(given.threads)
            recipe = {**selection.recipe, METRICS: selection.merged.metrics}
            pipeline = compose(recipe=recipe, registry=selection.registry, cache=given.cache)
            selection.report_idle(pipeline, strict=given.strict, quiet=given.quiet)
            self._pipeline = pipeline
        return self._pipeline

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
