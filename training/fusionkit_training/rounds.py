"""One round of training: steps until there is a reason to stop, with a log and checkpoints."""

from __future__ import annotations

import csv
import json
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch

from fusionkit.imaging import write_text

from .plan import Progress

CHECKPOINT, LOG = "checkpoint.safetensors", "log.csv"
_SUBNORMAL = 1e-40  # in float32


class Trainer(Protocol):
    """What a round trains."""

    @property
    def progress(self) -> Progress:
        """How far it has come; a step counts itself, a round counts the minutes."""

    @property
    def done(self) -> float:
        """The share of the plan that is done."""

    def save(self, path: Path) -> None:
        """Write the whole state, atomically."""

    def restore(self, path: Path) -> None:
        """Continue from a file that :meth:`save` wrote, or raise UsageError."""

    def export(self, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the file of weights that others load."""


T = TypeVar("T", bound=Trainer)


class Round(ABC, Generic[T]):
    """Trains until told to stop; whatever stops it, the state is saved and the weights exported.

    Parameters
    ----------
    trainer
        What is trained.
    folder
        Where checkpoint, log and weights go; made when it runs.
    every
        Minutes between two rows of the log, each with a checkpoint.
    notes
        What is told of the training in the metadata of the weights; JSON-ready.
    about
        The trainer in a line: its size, for example.

    Attributes
    ----------
    file
        The name of the file of weights.
    columns
        Of the log.
    keeps_state
        Whether the whole state is saved with every row of the log; otherwise the weights are
        exported, which are a sixth of it, and nothing can be resumed.
    """

    file: ClassVar[str]
    columns: Sequence[str]
    keeps_state = True

    def __init__(
        self,
        trainer: T,
        folder: Path,
        every: float = 5.0,
        notes: Mapping[str, Any] | None = None,
        about: str = "",
    ) -> None:
        self.trainer = trainer
        self.folder = folder
        self.notes = notes or {}
        self.about = about
        self._every = every

    @abstractmethod
    def step(self) -> None:
        """Make one step."""

    @abstractmethod
    def report(self) -> tuple[Mapping[str, float], str]:
        """Return a row of the log and a line to print, of the steps since the last report."""

    def trained(self) -> dict[str, float]:
        """Return how far it was trained, for the metadata of the weights."""
        progress = self.trainer.progress
        return {
            "steps": progress.step,
            "minutes": round(progress.minutes, 2),
            "progress": round(min(1.0, self.trainer.done), 4),
        }

    def run(self, enough: Callable[[], bool], started: float | None = None) -> str:
        """Train until the plan is done, ``enough()`` is true, or a signal comes; return why.

        The time counts from ``started`` on, of ``time.perf_counter``; from now, if it is None.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        log = Log(self.folder / LOG, self.columns, self.trainer.progress.step)
        reported, unreported = time.perf_counter(), False
        last = reported if started is None else started
        with stop_requested() as stopping:
            while not (reason := self._reason_to_stop(stopping, enough)):
                self.step()
                unreported = True
                now = time.perf_counter()
                self.trainer.progress.minutes += (now - last) / 60
                last = now
                if now - reported >= 60 * self._every:
                    self._save(log)
                    reported, unreported = time.perf_counter(), False
            if unreported:
                self._save(log)
            self._export()
        return reason

    def _reason_to_stop(self, stopping: Callable[[], bool], enough: Callable[[], bool]) -> str:
        if self.trainer.done >= 1:
            return "the plan is done"
        if stopping():
            return "a signal asked to stop"
        return "the round is over" if enough() else ""

    def _save(self, log: Log) -> None:
        row, line = self.report()
        if self.keeps_state:
            self.trainer.save(self.folder / CHECKPOINT)
        else:
            self._export()
        log.add(row)
        print(line, flush=True)

    def _export(self) -> None:
        notes = {**self.notes, "trained": self.trained()}
        self.trainer.export(self.folder / self.file, _as_text(notes))


def _as_text(notes: Mapping[str, Any]) -> dict[str, str]:
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in notes.items()
    }


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


@contextmanager
def training_speed(threads: int) -> Iterator[None]:
    """Choose torch's threads, and let numbers too small to matter be zero, which is much faster.

    Both belong to the process, so they are put back in the end.
    """
    before = torch.get_num_threads()
    flushed = not torch.tensor(_SUBNORMAL).mul(1).item()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)
        torch.set_num_threads(before)
