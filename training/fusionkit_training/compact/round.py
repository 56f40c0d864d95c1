"""One round of training: steps until time is up, with checkpoints, a log and an export."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusionkit_diffusion.compact_network import forward_flops
from torch import Tensor

from .. import rounds
from .trainer import VALIDATION_SIGMAS, Trainer


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
    trainer, folder, every, notes, about
        As of :class:`fusionkit_training.rounds.Round`.
    validation
        Images (1, 3, H, W) in [0, 1] that are not trained on.
    """

    file = "compact.safetensors"
    columns = (
        "minutes", "progress", "step", "crops", "crop_size", "crops_per_second", "tflops",
        "outside", "learning_rate", "loss", *(f"psnr_{sigma:.0f}" for sigma in VALIDATION_SIGMAS),
    )  # fmt: skip

    def __init__(
        self,
        trainer: Trainer,
        folder: Path,
        validation: list[Tensor],
        every: float = 5.0,
        notes: Mapping[str, Any] | None = None,
        about: str = "",
    ) -> None:
        super().__init__(trainer, folder, every, notes, about)
        self.validation = validation
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

    def trained(self) -> dict[str, float]:
        """Return how far it was trained, the crops seen among it."""
        return {**super().trained(), "crops": self.trainer.progress.crops}
