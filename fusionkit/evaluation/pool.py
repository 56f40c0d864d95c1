"""Processes that work through tasks, and end cleanly when somebody interrupts."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any

from ..errors import FusionkitError


class Pool:
    """Worker processes, for a ``with`` block. Leaving it by an exception ends them at once.

    Parameters
    ----------
    jobs
        How many processes.
    start, arguments
        A function at the top of a module, which every process calls first, and what it is given.
    """

    def __init__(self, jobs: int, start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        # Spawned, not forked: torch's threads do not survive a fork.
        self._executor = ProcessPoolExecutor(
            jobs,
            mp_context=get_context("spawn"),
            initializer=_start,
            initargs=(start, arguments),
        )
        self._others = active_children()

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            for process in active_children():
                if process not in self._others:
                    process.terminate()
        self._executor.shutdown(cancel_futures=True)

    def run(self, function: Callable[..., Any], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """Yield ``function(*task)`` of every task, each as soon as it is there.

        Raises
        ------
        FusionkitError
            A process was ended from outside.
        """
        with _deaf_children():
            futures = [self._executor.submit(_work, function, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise FusionkitError(
                "a worker process was ended from outside, perhaps for want of memory: what is "
                "done is kept; go on with fewer --jobs"
            ) from None


def _start(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    start(*arguments)
    # An exception, so that a file which is being written is not left half done.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def _end_with_parent() -> None:
    """Go when the process that started this one has gone, however it ended."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _work(function: Callable[..., Any], task: tuple[Any, ...]) -> Any:
    try:
        return function(*task)
    except SystemExit:
        os._exit(1)  # or the executor would keep the process, and give it the next task


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
