"""Processes that work through tasks, outlive one another, and end cleanly when interrupted."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any

from ..errors import Ended, FusionkitError

_GRACE = 10.0  # seconds for a process to take back what it is writing

LOST = "its worker process was ended from outside, perhaps for want of memory"
"""What is said of a task whose process was."""

_THREADS = (
    *(f"{library}_NUM_THREADS" for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")),
    "VECLIB_MAXIMUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)
"""What the libraries that compute read, when they are loaded, to know how many threads to start."""


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # which a cluster's queue restricts
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Pool:
    """Worker processes, for a ``with`` block. Leaving it by an exception ends them at once.

    Parameters
    ----------
    jobs
        How many processes, each begun when there is a task for it.
    start, arguments
        A function at the top of a module, which every process calls first, and what it is given.
    threads
        Of the CPU, that each process computes with, in whatever library; None leaves it to them.
    """

    def __init__(
        self,
        jobs: int,
        start: Callable[..., None],
        arguments: tuple[Any, ...],
        threads: int | None = None,
    ) -> None:
        self._jobs = jobs
        self._start = start
        self._arguments = arguments
        self._threads = threads
        self._idle: list[_Worker] = []
        self._busy: dict[_Worker, tuple[Any, ...]] = {}

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self._busy:
            worker.process.terminate()
        for worker in (*self._busy, *self._idle):
            worker.connection.close()  # all hear it before one is waited for
        for worker in (*self._busy, *self._idle):
            worker.end()

    def run(
        self,
        function: Callable[..., Any],
        tasks: Iterable[tuple[Any, ...]],
        lost: Callable[..., Any] | None = None,
    ) -> Iterator[Any]:
        """Yield ``function(*task)`` of every task, each as soon as it is there.

        Parameters
        ----------
        function
            At the top of a module; what it raises is raised here.
        tasks
            What it is given, taken as processes become free.
        lost
            What to yield, ``lost(*task)``, of a task whose process was ended from outside; another
            process takes its place.

        Raises
        ------
        FusionkitError
            A process was ended from outside, and ``lost`` is None or it had not begun yet.
        """
        coming = iter(tasks)
        self._feed(function, coming)
        while self._busy:
            for worker in self._ready():
                message = worker.receive()
                if message == _BEGUN:
                    worker.begun = True
                    continue
                task = self._busy.pop(worker)
                if message is None:
                    worker.end()
                    if lost is None or not worker.begun:
                        raise FusionkitError(
                            "a worker process was ended from outside, perhaps for want of memory: "
                            "what is done is kept; go on with fewer --jobs"
                        )
                    message = Answer(lost(*task))
                else:
                    self._idle.append(worker)
                if message.error is not None:
                    raise message.error
                self._feed(function, coming)
                yield message.value

    def _feed(self, function: Callable[..., Any], tasks: Iterator[tuple[Any, ...]]) -> None:
        """Give tasks to processes that have none, or are not there yet."""
        while len(self._busy) < self._jobs:
            task = next(tasks, None)
            if task is None:
                return
            worker = self._idle.pop() if self._idle else self._new()
            while not worker.give(function, task):  # ended while it had nothing to do
                worker.end()
                worker = self._new()
            self._busy[worker] = task

    def _new(self) -> _Worker:
        with _deaf_children(), with_threads(self._threads):
            return _Worker(self._start, self._arguments)

    def _ready(self) -> list[_Worker]:
        """Wait for processes that have done their task, or have ended."""
        by_handle: dict[Any, _Worker] = {}
        for worker in self._busy:
            by_handle |= {worker.connection: worker, worker.process.sentinel: worker}
        return list(dict.fromkeys(by_handle[handle] for handle in wait(list(by_handle))))


_BEGUN = "begun"


@dataclass(frozen=True)
class Answer:
    """What became of a task: a value, or what it raised."""

    value: Any = None
    error: Exception | None = None


class _Worker:
    """One process, seen from the one that started it; ``begun`` once it is ready for tasks."""

    def __init__(self, start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        context = get_context("spawn")  # not forked: torch's threads do not survive a fork
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, start, arguments))
        self.process.start()
        theirs.close()
        self.begun = False

    def give(self, function: Callable[..., Any], task: tuple[Any, ...]) -> bool:
        """Hand over a task; false if nobody is there to take it."""
        try:
            self.connection.send((function, task))
        except OSError:
            return False
        return True

    def receive(self) -> Any:
        """Return ``_BEGUN``, once, or the answer to a task; None if the process has gone."""
        with contextlib.suppress(EOFError, OSError):
            if self.process.is_alive() or self.connection.poll():
                return self.connection.recv()
        return None

    def end(self) -> None:
        """Let it go, by force if it does not want to."""
        self.connection.close()  # which is how it hears that there is nothing more to do
        self.process.join(_GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(connection: Connection, start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Do what one is told, task by task, until nobody is there to tell."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, _end)
    try:
        failed = outcome(start, arguments)
        with contextlib.suppress(EOFError, OSError):  # nobody is there any more
            connection.send(_BEGUN)
            while True:
                function, task = connection.recv()
                connection.send(failed if failed.error else outcome(function, task))
    except Ended:
        os._exit(1)  # at once: what was being written has been taken back
    gc.freeze()  # or all that torch has made is looked through once more


def outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Answer:
    """Call a function; what it raises is its answer, too."""
    try:
        return Answer(function(*arguments))
    except Exception as error:
        if os.environ.get("FUSIONKIT_DEBUG") == "1":
            error.add_note(traceback.format_exc())
        return Answer(error=error)


def _end(number: int, frame: object) -> None:
    raise Ended(number)


def _end_with_parent() -> None:
    """Go when the process that started this one has gone, however it ended."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@contextmanager
def with_threads(count: int | None) -> Iterator[None]:
    """Have libraries that are loaded here, or in a process started here, compute with so many."""
    before = {name: os.environ.get(name) for name in _THREADS}
    if count is not None:
        os.environ.update(dict.fromkeys(_THREADS, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Start processes that do not hear a terminal's Ctrl-C: it goes to all of them.

    They would each print a traceback; the process that started them ends them. What is ignored
    where a process starts stays ignored in it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # elsewhere, Python refuses to change what signals do
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
