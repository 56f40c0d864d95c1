"""Running what a command line asks for: many scenes, whatever becomes of the single one."""

from __future__ import annotations

import argparse
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from ..contract.counting import number_of
from ..errors import UsageError
from ..host.remote import is_url
from ..imaging.files import sweep, sweep_private
from . import complain, say
from .fusing import Fuser, Outcome, Watch
from .jobs import Job, Order, check_kept
from .process_flags import processes_of
from .progress import Progress
from .remote_jobs import is_remote, list_failures
from .workers import in_processes


class Runner:
    """Runs an order, here or in worker processes, and tells what became of each scene."""

    def __init__(self, fuser: Fuser, given: argparse.Namespace) -> None:
        self._fuser = fuser
        self._given = given
        self._said: set[str] = set()

    def run(self, order: Order) -> int:
        """Fuse everything; return the exit code.

        An error of the only scene is raised; one of several is told, and the others go on.
        """
        for note in order.notes:
            self._inform(f"warning: {note}")
        folders = {Path(job.output).parent for job in order.jobs if not is_url(job.output)}
        away = any(map(is_remote, order.jobs)) or self._given.slices is not None
        _sweep(folders, away)
        try:
            if order.jobs and not order.jobs[0].name:
                return self._one(order)
            return self._many(order)
        finally:
            _sweep(folders, away)  # of processes that were ended

    def _one(self, order: Order) -> int:
        (job,) = order.jobs
        with self._progress({job.name: 1.0}) as progress:
            progress.begin(Path(job.output).name)
            watch = Watch(lambda note, once: self._note(progress, note, once), progress.watch)
            progress.end(self._fuser.fuse(job, watch))
        return 0

    def _many(self, order: Order) -> int:
        problems = dict(order.problems)
        todo = self._unfinished(order, problems)
        for name, why in problems.items():
            complain(f"{name}: {why}", 1)
        weights = {job.name: float(job.size) for job in todo}
        skipped = len(order.jobs) - len(weights) - (len(problems) - len(order.problems))
        with (
            self._progress(weights, skipped=skipped, failed=len(problems)) as progress,
            closing(self._outcomes(todo, order, progress)) as outcomes,
        ):
            for outcome in outcomes:
                for note, once in outcome.notes:
                    self._note(progress, note, once)
                if outcome.problem is not None:
                    problems[outcome.name] = outcome.problem
                    progress.say(f"error: {outcome.name}: {outcome.problem}")
                elif not outcome.skipped:
                    order.kept.add(outcome.output, f"result of scene {outcome.name},")
                progress.end(outcome)
        total = len(order.jobs) + len(order.problems)
        listed, written = list_failures(self._given.output, self._given.shard, problems)
        if problems:
            where = f": {listed}" if written else f"; {listed} is another file, and was left alone"
            say(f"{total - len(problems)} of {total} fused, {len(problems)} failed{where}")
        return 1 if problems else 0

    def _unfinished(self, order: Order, problems: dict[str, str]) -> list[Job]:
        """Return the jobs that no earlier run of this recipe has done, and tell of the others."""
        todo = []
        done = 0
        for job in order.jobs:
            try:
                if self._fuser.done(job):
                    done += 1
                else:
                    todo.append(job)
            except UsageError as error:
                problems[job.name] = str(error)
        if done:
            left = f"; {len(todo)} to go" if todo else ""
            of, are = number_of(len(order.jobs), "scene"), "is" if done == 1 else "are"
            self._inform(f"{done} of {of} {are} finished already{left}")
        return todo

    def _outcomes(
        self, todo: Sequence[Job], order: Order, progress: Progress
    ) -> Generator[Outcome, None, None]:
        """Fuse, in this process or in others, and yield what becomes of each job."""
        refused: list[Outcome] = []
        jobs = _allowed(todo, order, refused)
        processes = processes_of(self._given, self._given.threads)
        if processes.others:
            yield from in_processes(self._fuser.arguments, jobs, processes)
        else:
            for job in jobs:
                progress.begin(job.name)
                watch = Watch(lambda note, once: self._note(progress, note, once), progress.watch)
                yield self._fuser.attempt(job, watch)
        yield from refused

    def _progress(self, weights: dict[str, float], skipped: int = 0, failed: int = 0) -> Progress:
        events = self._given.progress == "json"
        return Progress(weights, self._given.quiet, events=events, skipped=skipped, failed=failed)

    def _note(self, progress: Progress, note: str, once: bool) -> None:
        """Tell the person a note, unless nobody is to hear, or has heard."""
        if not self._given.quiet and not (once and note in self._said):
            self._said.add(note)
            progress.say(f"warning: {note}")

    def _inform(self, message: str) -> None:
        if not self._given.quiet:
            say(message)


def _sweep(folders: Iterable[Path], away: bool) -> None:
    """Remove what processes left that were killed, ``away`` also what they fetched or unpacked."""
    for folder in folders:
        sweep(folder)
    if away:
        sweep_private()


def _allowed(todo: Iterable[Job], order: Order, refused: list[Outcome]) -> Iterator[Job]:
    """Yield jobs, as they are asked for, that replace no source and no result of another."""
    for job in todo:
        try:
            for output in job.outputs:
                check_kept(job, output, order.kept, job.count)
        except UsageError as error:
            refused.append(Outcome(job.name, problem=str(error)))
        else:
            yield job
