"""Jobs whose sources, or whose results, are at URLs: fetched, fused here, and put there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from ..errors import UsageError
from ..host.mirror import Mirror, Stage
from ..host.remote import exists, fetch, is_url, put, remove, shown
from ..imaging.files import private_folder
from .failures import failures_path, write_failures
from .fusing import Outcome, Watch
from .jobs import Job, Order
from .stacking import Shard
from .volume_fusing import VolumeFuser


def is_remote(job: Job) -> bool:
    """Whether some file of a job is at a URL."""
    return any(map(is_url, (*job.sources, job.output)))


def at_urls(order: Order, mirror: Mirror) -> Order:
    """Return an order whose jobs name URLs instead of their places in a mirror."""
    jobs = tuple(
        replace(job, sources=tuple(map(mirror.url, job.sources)), output=mirror.url(job.output))
        for job in order.jobs
    )
    for source in {source for job in jobs for source in job.sources if is_url(source)}:
        order.kept.add(source, "source")
    problems = {name: mirror.shown(why) for name, why in order.problems.items()}
    return replace(order, jobs=jobs, problems=problems, notes=tuple(map(mirror.shown, order.notes)))


class RemoteFuser(VolumeFuser):
    """Fuses jobs wherever their files are.

    A job of URLs is done as one of files: what there is of its result is fetched first, then its
    sources; what is made is put where it belongs, and what was fetched is gone.
    """

    def done(self, job: Job) -> bool:
        """Whether a job is finished, as :meth:`.fusing.Fuser.done`."""
        if not is_remote(job):
            return super().done(job)
        if self._given.overwrite:
            return False
        with _staged(job) as (stage, here):
            stage.fetch_results(here.outputs)
            if here.earlier() is None:
                return False
            stage.fetch_sources()
            return super().done(here)

    def attempt(self, job: Job, watch: Watch) -> Outcome:
        """Fuse one job of several, as :meth:`.fusing.Fuser.attempt`."""
        if not is_remote(job):
            return super().attempt(job, watch)
        began = time.perf_counter()
        with _staged(job) as (stage, here):
            outcome = Outcome(job.name)
            try:
                self._fetch(stage, here)
            except UsageError as error:
                outcome = replace(outcome, problem=str(error))
            else:
                outcome = super().attempt(here, _watching(watch, stage))
            try:
                if outcome.output:
                    stage.put(outcome.output)
            except UsageError as error:
                outcome = Outcome(job.name, problem=str(error))
            return replace(_told(outcome, stage), seconds=time.perf_counter() - began)

    def fuse(self, job: Job, watch: Watch) -> Outcome:
        """Fuse a job, and raise what goes wrong."""
        if not is_remote(job):
            return super().fuse(job, watch)
        with _staged(job) as (stage, here):
            self._fetch(stage, here)
            outcome = super().fuse(here, _watching(watch, stage))
            stage.put(outcome.output)
            return _told(outcome, stage)

    def _fetch(self, stage: Stage, here: Job) -> None:
        if not self._given.overwrite:
            stage.fetch_results(here.outputs)
        stage.fetch_sources()


def list_failures(
    folder: str, shard: Shard | None, problems: Mapping[str, str]
) -> tuple[str, bool]:
    """Write which scenes failed, wherever results are, as :func:`.failures.write_failures`.

    Returns
    -------
    place, written
        Where the list is, and whether it was written.
    """
    place = failures_path(folder, shard)
    if not is_url(folder):
        return str(place), write_failures(place, problems)
    url = f"{folder.rstrip('/')}/{place.name}"
    with private_folder() as room:
        here = room / place.name
        there = exists(url)
        if there:
            fetch(url, here)
        written = write_failures(here, problems)
        if written and problems:
            put(here, url)
        elif written and there:
            remove(url)
    return shown(url), written


@contextmanager
def _staged(job: Job) -> Iterator[tuple[Stage, Job]]:
    """Make room for the files of a job; yield it, and the job as it is there.

    Errors name URLs.
    """
    with private_folder() as room:
        stage = Stage(room, job.sources, job.output)
        here = replace(job, sources=stage.sources, output=stage.output)
        try:
            yield stage, here
        except UsageError as error:
            raise type(error)(stage.shown(str(error))) from error.__cause__


def _watching(watch: Watch, stage: Stage) -> Watch:
    return Watch(lambda note, once: watch.note(stage.shown(note), once), watch.pixels, stage.told)


def _told(outcome: Outcome, stage: Stage) -> Outcome:
    return replace(
        outcome,
        output=stage.shown(outcome.output),
        line=stage.shown(outcome.line),
        problem=None if outcome.problem is None else stage.shown(outcome.problem),
    )
