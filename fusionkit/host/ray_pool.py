"""Worker processes that Ray holds, on one machine or on many: actors instead of processes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from importlib import import_module
from threading import get_ident
from types import TracebackType
from typing import Any, TextIO, cast

from ..errors import FusionkitError, UsageError
from .pool import LOST, Answer, cores, outcome, with_threads

LOCAL = "local"
"""The address of a cluster that is started on this machine."""

_TRIES = 3  # of a task whose worker is lost: machines of a cluster are taken away


class Actor:
    """A worker that Ray holds; paths are relative to the folder that the command was started in."""

    def __init__(
        self, folder: str, start: Callable[..., None], arguments: tuple[Any, ...], threads: int
    ) -> None:
        os.chdir(folder)
        with with_threads(threads):  # while what computes is loaded
            import torch  # noqa: F401

            self._begun = outcome(start, arguments)

    def do(self, function: Callable[..., Any], task: tuple[Any, ...]) -> Answer:
        """Do a task, unless this worker could not begin: then that is what becomes of it."""
        return self._begun if self._begun.error else outcome(function, task)


class RayPool:
    """Actors on a cluster, for a ``with`` block, which :class:`.pool.Pool` is like.

    Parameters
    ----------
    jobs
        How many actors; None for as many as the cluster has cores for.
    start, arguments
        A function at the top of a module, which every actor calls first, and what it is given.
    threads, gpus
        Cores and GPUs that each takes of its machine.
    address
        Of the cluster; ``local`` starts one here, ``auto`` finds one.
    """

    def __init__(
        self,
        jobs: int | None,
        start: Callable[..., None],
        arguments: tuple[Any, ...],
        threads: int,
        gpus: float,
        address: str,
    ) -> None:
        self._jobs = jobs
        self._said = (os.getcwd(), start, arguments, threads)
        self._threads = threads
        self._gpus = gpus
        self._address = address
        self._stack = ExitStack()

    def __enter__(self) -> RayPool:
        """Connect.

        Raises
        ------
        UsageError
            Ray is not installed, or there is none at the address.
        """
        try:
            self._ray: Any = import_module("ray")
            self._errors: Any = import_module("ray.exceptions")
        except ImportError:
            raise UsageError(
                "--ray takes the package ray: pip install 'fusionkit-imaging[ray]', or use --jobs"
            ) from None
        here = (self._jobs or max(1, cores() // self._threads)) * self._threads
        self._stack.enter_context(_connected(self._ray, self._address, here))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def run(
        self,
        function: Callable[..., Any],
        tasks: Iterable[tuple[Any, ...]],
        lost: Callable[..., Any] | None = None,
    ) -> Iterator[Any]:
        """Yield ``function(*task)`` of every task, as :meth:`.pool.Pool.run` does.

        A task whose actor is lost is tried three times, before ``lost`` says what becomes of it.
        """
        ray = self._ray
        actor = ray.remote(num_cpus=self._threads, num_gpus=self._gpus)(Actor)
        there = int(ray.cluster_resources().get("CPU", 1))
        jobs = self._jobs or max(1, there // self._threads)
        free: list[Any] = []
        busy: dict[Any, tuple[Any, tuple[Any, ...], int]] = {}
        coming = ((task, 1) for task in tasks)
        again: list[tuple[tuple[Any, ...], int]] = []
        while True:
            while len(busy) < jobs and (next_ := again.pop() if again else next(coming, None)):
                worker = free.pop() if free else actor.remote(*self._said)
                busy[worker.do.remote(function, next_[0])] = (worker, *next_)
            if not busy:
                return
            done, _ = ray.wait(list(busy))
            for reference in done:
                worker, task, tries = busy.pop(reference)
                try:
                    answer = ray.get(reference)
                except self._errors.RayTaskError as error:  # an answer that cannot be sent
                    raise FusionkitError(f"a worker on Ray: {error.cause}") from None
                except self._errors.RayActorError:
                    if tries < _TRIES:
                        again.append((task, tries + 1))
                        continue
                    if lost is None:
                        raise FusionkitError(f"{_TRIES} times, {LOST}") from None
                    answer = Answer(lost(*task))
                else:
                    free.append(worker)
                if answer.error is not None:
                    raise answer.error
                yield answer.value


@contextmanager
def _connected(ray: Any, where: str, cpus: int) -> Iterator[None]:
    """Connect to a cluster, or start one of so many cores here; leave it in the end."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # which Ray would send home
    how: dict[str, Any] = {"address": where}
    if where == LOCAL:
        how |= {"num_cpus": cpus, "include_dashboard": False}
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**how, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise UsageError(f"--ray {where}: there is no Ray: {said}") from None
    signal.signal(signal.SIGTERM, before)  # Ray has put its own there
    try:
        with redirect_stdout(cast(TextIO, _OfThisThread(sys.stdout))):
            yield
    finally:
        ray.shutdown()


class _OfThisThread:
    """A stream for the thread that makes this; what others print, as Ray's do, goes to stderr."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._thread = get_ident()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream if get_ident() == self._thread else sys.stderr, name)
