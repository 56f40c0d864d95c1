"""Worker processes of a run: each reads the command line itself, and is given jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ..host.pool import LOST
from ..host.processes import Processes
from .fusing import Outcome, Watch
from .jobs import Job
from .remote_jobs import RemoteFuser
from .run_flags import parsed


class Worker:
    """Fuses the jobs that it is given, with models that it loads once."""

    def __init__(self, arguments: Sequence[str], threads: int) -> None:
        selection, given = parsed(arguments)
        given.threads = threads
        self._fuser = RemoteFuser(arguments, selection, given)

    def attempt(self, job: Job) -> Outcome:
        """Fuse a job, and return what became of it and what there is to be said."""
        notes: list[tuple[str, bool]] = []
        watch = Watch(lambda note, once: notes.append((note, once)), lambda *_: None)
        return replace(self._fuser.attempt(job, watch), notes=tuple(notes))


def in_processes(
    arguments: Sequence[str], jobs: Iterable[Job], processes: Processes
) -> Iterator[Outcome]:
    """Yield what becomes of jobs in other processes, in the order in which they are done."""
    with processes.pool(_start, (tuple(arguments), processes.threads_each)) as pool:
        yield from pool.run(_attempt, ((job,) for job in jobs), _lost)


_worker: Worker | None = None


def _start(arguments: tuple[str, ...], threads: int) -> None:
    global _worker
    _worker = Worker(arguments, threads)


def _attempt(job: Job) -> Outcome:
    assert _worker is not None
    return _worker.attempt(job)


def _lost(job: Job) -> Outcome:
    return Outcome(job.name, problem=LOST)
