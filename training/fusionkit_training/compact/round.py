"""One round of training: steps until time is up, with checkpoints, a log and an export."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionkit_diffusion.compact_network import forward_flops
from torch import Tensor

from .. import rounds
from .trainer import VALIDATION_SIGMAS, Trainer

EXPORT = "compact.safetensors"

COLUMNS = (
    "minutes", "progress", "step", "crops", "crop_size", "crops_per_second", "tflops",
    "outside", "learning_rate", "loss", *(f"psnr_{sigma:.0f}" for sigma in VALIDATION_SIGMAS),
)  # fmt: skip


@dataclass
class Interval:
    """What happened since the last row of the log; times in seconds."""

    crops: int = 0
    flops: float = 0.0
    drawing: float = 0.0
    learning: float = 0.0
    losses: Tensor | None = None
    steps: int = 0


class Round(rounds.Round[Trainer]):
    """One round, validated by denoising.

    Parameters
    ----------
    trainer, folder, report, started
        As of :class:`fusionkit_training.Round`, ``report`` being minutes.
    validation
        Images (1, 3, H, W) in [0, 1] that are not trained on.
    notes
        The metadata of the export, but for the state of training.
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
        super().__init__(trainer, folder, COLUMNS, report, started)
        self.validation = validation
        self.notes = notes
        self._interval = Interval()

    def step(self) -> None:
        """Make one step, and note what it took."""
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

    def report(self) -> tuple[dict[str, float], str]:
        """Return a row of the log, and a line of it."""
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
        decibels = " ".join(f"{value:.2f}" for value in quality.values())
        self._interval = Interval()
        return row, (
            f"{row['minutes']:.1f} min, {row['progress']:.1%} of the plan: "
            f"{trainer.progress.crops} crops, {row['crops_per_second']:.1f} crops/s, "
            f"loss {row['loss']:.4f}, {decibels} dB"
        )

    def export(self) -> None:
        """Write the averaged weights, with the notes and how far they were trained."""
        self.trainer.export(self.folder / EXPORT, {**self.notes, "trained": self._state()})

    def _state(self) -> dict[str, float]:
        progress = self.trainer.progress
        return {
            "steps": progress.step,
            "crops": progress.crops,
            "minutes": round(progress.minutes, 2),
            "progress": round(min(1.0, self.trainer.done), 4),
        }
