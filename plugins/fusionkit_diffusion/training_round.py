"""One round of training: steps until time is up, with checkpoints, a log and an export."""

from __future__ import annotations

import csv
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from fusionkit.imaging import write_text

from .compact_network import forward_flops
from .trainer import VALIDATION_SIGMAS, Trainer

CHECKPOINT, EXPORT, LOG = "checkpoint.safetensors", "compact.safetensors", "log.csv"

COLUMNS = (
    "minutes", "progress", "step", "crops", "crop_size", "crops_per_second", "tflops",
    "outside", "learning_rate", "loss", *(f"psnr_{sigma:.0f}" for sigma in VALIDATION_SIGMAS),
)  # fmt: skip


class Log:
    """The CSV of a training; rows that a resumed training will make again are dropped."""

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        rows: list[dict[str, str]] = []
        if path.is_file() and step:
            with path.open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if _made_by(row, step)]
        lines = [",".join(COLUMNS), *(",".join(row[c] for c in COLUMNS) for row in rows)]
        write_text(path, "\n".join(lines) + "\n", overwrite=True)

    def add(self, row: dict[str, float]) -> None:
        """Append a row."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(",".join(f"{row[c]:.6g}" for c in COLUMNS) + "\n")


def _made_by(row: dict[str, str], step: int) -> bool:
    complete = all(row.get(column) for column in COLUMNS)
    return complete and row["step"].isdecimal() and int(row["step"]) <= step


@dataclass
class Interval:
    """What happened since the last row of the log; times in seconds."""

    crops: int = 0
    flops: float = 0.0
    drawing: float = 0.0
    learning: float = 0.0
    losses: Tensor | None = None
    steps: int = 0


class Round:
    """Trains until told to stop; whatever stops it, the state is saved and exported.

    Parameters
    ----------
    trainer
        What is trained.
    folder
        Where checkpoint, log and export go.
    validation
        Images (1, 3, H, W) in [0, 1] that are not trained on.
    notes
        The metadata of the export, but for the state of training.
    report
        Minutes between two rows of the log, each with a checkpoint.
    started
        When the time of this round began to count; default now.
    """

    def __init__(
        self,
        trainer: Trainer,
        folder: Path,
        validation: list[Tensor],
        notes: dict[str, Any],
        report: float = 5.0,
        started: float | None = None,
    ) -> None:
        self.trainer = trainer
        self.folder = folder
        self.validation = validation
        self.notes = notes
        self.report = report
        self._last = time.perf_counter() if started is None else started
        self._log = Log(folder / LOG, trainer.progress.step)
        self._interval = Interval()

    def run(self, enough: Callable[[], bool]) -> str:
        """Train until the plan is done, ``enough()`` is true, or a signal comes; return why."""
        trainer = self.trainer
        reported = time.perf_counter()
        with stop_requested() as stopping:
            while True:
                if trainer.done >= 1:
                    reason = "the plan is done"
                elif stopping():
                    reason = "a signal asked to stop"
                elif enough():
                    reason = "the round is over"
                else:
                    self._step()
                    now = time.perf_counter()
                    trainer.progress.minutes += (now - self._last) / 60
                    self._last = now
                    if now - reported >= 60 * self.report:
                        self._report()
                        reported = time.perf_counter()
                    continue
                break
            if self._interval.steps:
                self._report()
            trainer.export(self.folder / EXPORT, {**self.notes, "trained": self._state()})
        return reason

    def _step(self) -> None:
        interval = self._interval
        start = time.perf_counter()
        crops = self.trainer.draw()
        drawn = time.perf_counter()
        losses = self.trainer.learn(*crops)
        interval.learning += time.perf_counter() - drawn
        interval.drawing += drawn - start
        interval.crops += len(losses)
        # Backward, a convolution is two of the same size.
        size = crops[0].shape[-1]
        interval.flops += 3 * forward_flops(self.trainer.arch, size, size) * len(losses)
        interval.steps += 1
        mean = losses.mean()
        interval.losses = mean if interval.losses is None else interval.losses + mean

    def _report(self) -> None:
        trainer, interval = self.trainer, self._interval
        quality = trainer.validate(self.validation)
        seconds = interval.drawing + interval.learning
        assert interval.losses is not None
        row = {
            "minutes": trainer.progress.minutes,
            "progress": trainer.done,
            "step": trainer.progress.step,
            "crops": trainer.progress.crops,
            "crop_size": trainer.plan.crops(trainer.done, trainer.arch.multiple_of)[1],
            "crops_per_second": interval.crops / seconds,
            "learning_rate": trainer.plan.rate(trainer.done, trainer.progress.step),
            "loss": float(interval.losses) / interval.steps,
            "tflops": interval.flops / interval.learning / 1e12,
            "outside": interval.drawing / seconds,
        }
        row.update({f"psnr_{sigma:.0f}": value for sigma, value in quality.items()})
        trainer.save(self.folder / CHECKPOINT)
        self._log.add(row)
        decibels = " ".join(f"{value:.2f}" for value in quality.values())
        print(
            f"{row['minutes']:.1f} min, {row['progress']:.1%} of the plan: "
            f"{trainer.progress.crops} crops, {row['crops_per_second']:.1f} crops/s, "
            f"loss {row['loss']:.4f}, {decibels} dB",
            flush=True,
        )
        self._interval = Interval()

    def _state(self) -> dict[str, float]:
        progress = self.trainer.progress
        return {
            "steps": progress.step,
            "crops": progress.crops,
            "minutes": round(progress.minutes, 2),
            "progress": round(min(1.0, self.trainer.done), 4),
        }


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
