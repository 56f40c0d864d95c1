"""``fusionkit run --ray``: the workers of a run as actors of Ray, on one machine or on many."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from ..errors import UsageError
from ..host.pool import LOST, cores, with_threads
from .fusing import Outcome
from .jobs import Job
from .ray_address import LOCAL
from .workers import Worker

_TRIES = 3  # of a scene whose worker is lost: machines of a cluster are taken away


class Actor:
    """A worker that Ray holds; paths are relative to the folder that the run was started in."""

    def __init__(self, folder: str, arguments: Sequence[str], threads: int) -> None:
        os.chdir(folder)
        with with_threads(threads):  # while what computes is loaded
            import torch  # noqa: F401

            self._worker = Worker(arguments, threads)

    def attempt(self, job: Job) -> Outcome:
        """Fuse a job."""
        return self._worker.attempt(job)


def on_ray(
    arguments: Sequence[str], jobs: Iterable[Job], given: argparse.Namespace
) -> Iterator[Outcome]:
    """Yield what becomes of jobs on a Ray cluster, in the order in which they are done.

    Raises
    ------
    UsageError
        Ray is not installed, or there is none at the address.
    """
    try:
        ray: Any = import_module("ray")
        errors: Any = import_module("ray.exceptions")
    except ImportError:
        raise UsageError(
            "--ray takes the package ray: pip install 'fusionkit-imaging[ray]', or use --jobs"
        ) from None
    threads = given.threads or 1
    with _connected(ray, given.ray, given.jobs or max(1, cores() // threads), threads):
        there = int(ray.cluster_resources().get("CPU", 1))
        actor = ray.remote(num_cpus=threads, num_gpus=given.ray_gpus)(Actor)
        said = (os.getcwd(), tuple(arguments), threads)
        free = [actor.remote(*said) for _ in range(given.jobs or max(1, there // threads))]
        busy: dict[Any, tuple[Any, Job, int]] = {}
        coming = ((job, 1) for job in jobs)
        again: list[tuple[Job, int]] = []
        while True:
            while free and (task := again.pop() if again else next(coming, None)) is not None:
                worker = free.pop()
                busy[worker.attempt.remote(task[0])] = (worker, *task)
            if not busy:
                return
            done, _ = ray.wait(list(busy))
            for reference in done:
                worker, job, tries = busy.pop(reference)
                try:
                    yield ray.get(reference)
                except errors.RayTaskError as error:  # what is wrong with all
                    raise error.cause from None
                except errors.RayActorError:
                    worker = actor.remote(*said)
                    if tries < _TRIES:
                        again.append((job, tries + 1))
                    else:
                        yield Outcome(job.name, problem=f"{_TRIES} times, {LOST}")
                free.append(worker)


@contextmanager
def _connected(ray: Any, where: str, jobs: int, threads: int) -> Iterator[None]:
    """Connect to a cluster, or start one of this machine's cores, and leave it in the end."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # which Ray would send home
    how: dict[str, Any] = {"address": where}
    if where == LOCAL:
        how = {"address": "local", "num_cpus": jobs * threads, "include_dashboard": False}
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**how, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise UsageError(f"--ray {where}: there is no Ray: {said}") from None
    signal.signal(signal.SIGTERM, before)  # Ray has put its own there
    try:
        yield
    finally:
        ray.shutdown()
