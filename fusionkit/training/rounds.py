"""One round of training: steps until there is a reason to stop, with a log and checkpoints."""

from __future__ import annotations

import csv
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch

from ..imaging import write_text
from .plan import Progress


class Trainer(Protocol):
    """What a round trains."""

    @property
    def progress(self) -> Progress:
        """How far it has come; a step counts itself, a round counts the minutes."""

    @property
    def done(self) -> float:
        """The share of the plan that is done."""


class Round(ABC):
    """Trains until told to stop; whatever stops it, the state is saved and exported.

    Parameters
    ----------
    trainer
        What is trained.
    every
        Minutes between two reports.
    started
        When the time of this round began to count, of ``time.perf_counter``; default now.
    """

    def __init__(self, trainer: Trainer, every: float, started: float | None = None) -> None:
        self._trainer = trainer
        self._every = every
        self._last = time.perf_counter() if started is None else started

    @abstractmethod
    def step(self) -> None:
        """Make one step."""

    @abstractmethod
    def report(self) -> None:
        """Save the state, and tell of the steps since the last report, one at least."""

    @abstractmethod
    def export(self) -> None:
        """Write the file of weights that others load; called once, at the end."""

    def run(self, enough: Callable[[], bool]) -> str:
        """Train until the plan is done, ``enough()`` is true, or a signal comes; return why."""
        reported, unreported = time.perf_counter(), False
        with stop_requested() as stopping:
            while True:
                if self._trainer.done >= 1:
                    reason = "the plan is done"
                    break
                if stopping():
                    reason = "a signal asked to stop"
                    break
                if enough():
                    reason = "the round is over"
                    break
                self.step()
                unreported = True
                now = time.perf_counter()
                self._trainer.progress.minutes += (now - self._last) / 60
                self._last = now
                if now - reported >= 60 * self._every:
                    self.report()
                    reported, unreported = time.perf_counter(), False
            if unreported:
                self.report()
            self.export()
        return reason


class Log:
    """The CSV of a training; rows that a resumed training will make again are dropped.

    Parameters
    ----------
    path
        The file; one that is there is continued, unless ``step`` is 0.
    columns
        Their names, ``step`` among them.
    step
        The steps made so far.
    """

    def __init__(self, path: Path, columns: Sequence[str], step: int) -> None:
        self._path = path
        self._columns = columns
        rows: list[dict[str, str]] = []
        if path.is_file() and step:
            with path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if self._made_by(row, step)]
        lines = [",".join(columns), *(",".join(row[c] for c in columns) for row in rows)]
        write_text(path, "\n".join(lines) + "\n", overwrite=True)

    def add(self, row: Mapping[str, float]) -> None:
        """Append a row, six digits of each value."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(",".join(f"{row[column]:.6g}" for column in self._columns) + "\n")

    def _made_by(self, row: dict[str, str], step: int) -> bool:
        complete = all(row.get(column) for column in self._columns)
        return complete and row["step"].isdecimal() and int(row["step"]) <= step


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM and the first Ctrl-C into a flag; a second Ctrl-C interrupts as usual."""
    asked = False

    def ask(which: int, _: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(which, before[which])

    before: dict[int, Any] = {}
    for caught in (signal.SIGTERM, signal.SIGINT):
        try:
            before[caught] = signal.signal(caught, ask)
        except ValueError:  # not in the main thread: nobody sends signals here
            break
    try:
        yield lambda: asked
    finally:
        for caught_before, handler in before.items():
            signal.signal(caught_before, handler)


def set_up_torch(threads: int) -> None:
    """Choose the threads, and let numbers too small to matter be zero, which is much faster."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
