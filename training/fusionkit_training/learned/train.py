"""``fusionkit train learned``: train the learned weighting."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from fusionkit_learned.network import fusion_weights

from .. import rounds
from ..photographs import Read, read_luma
from ..training import Task, Training
from .crops import Photographs
from .degradations import SUBJECTS
from .evaluate import BASELINES, degraded, read_images, weighted_psnr
from .samples import Batch
from .trainer import EMA_DECAY, Plan, Trainer, read_checkpoint


class LearnedTraining(Training[Plan]):
    """The command.

    Parameters
    ----------
    read
        How photographs are read.
    """

    name = "learned"
    about = "Train the weighting learned, on photographs (docs/learned.md)."
    plan = Plan
    validation = 8
    report = 5

    def __init__(self, read: Read = read_luma) -> None:
        self._read = read

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add what concerns the machine."""
        parser.add_argument("--device", default="cpu", help="of the network; the CPU draws crops")
        parser.add_argument(
            "--subject", choices=SUBJECTS, help="what the weights are for (default focus)"
        )
        parser.add_argument(
            "--gains",
            metavar="SIGMAS",
            help="show the network information gains at these noise levels, such as 2.03,0.719",
        )

    def state(self, checkpoint: Path) -> Mapping[str, Any]:
        """Return what a checkpoint holds of its training."""
        return read_checkpoint(checkpoint)[1]

    def begin(self, task: Task[Plan]) -> Round:
        """Return a round, its trainer not restored yet."""
        args, plan = task.args, task.plan
        photographs = Photographs.read(task.photographs, plan.crop, self._read)
        images = read_images(task.held_out, plan.crop, self._read)
        families = tuple(dict.fromkeys(SUBJECTS[plan.subject]))
        made = degraded(images, plan.crop, K=3, families=families)
        validation = {family: batch.to(args.device) for family, batch in made.items()}
        trainer = Trainer(plan, photographs, args.seed, args.device)
        about = f"{sum(p.numel() for p in trainer.network.parameters())} parameters"
        notes = task.notes(photographs.sha256, {"ema_decay": EMA_DECAY})
        return Round(trainer, args.out, validation, args.report, notes, about)


parser, main = LearnedTraining().parser, LearnedTraining().main


class Round(rounds.Round[Trainer]):
    """One round, validated on samples of photographs held out, by family.

    Parameters
    ----------
    trainer, folder, every, notes, about
        As of :class:`fusionkit_training.rounds.Round`.
    validation
        Samples by family.
    """

    file = "learned.safetensors"

    def __init__(
        self,
        trainer: Trainer,
        folder: Path,
        validation: dict[str, Batch],
        every: float = 1.0,
        notes: Mapping[str, Any] | None = None,
        about: str = "",
    ) -> None:
        self.columns = (
            "minutes", "progress", "step", "learning_rate", "loss",
            *(f"{family}_{who}" for family in validation for who in ("learned", *BASELINES)),
        )  # fmt: skip
        super().__init__(trainer, folder, every, notes, about)
        self.validation = validation
        gains_of = trainer.gains
        self._gains = {
            family: gains_of(batch, family) for family, batch in validation.items() if gains_of
        }
        self._losses: list[float] = []
        self._baselines = {
            f"{family}_{name}": weighted_psnr(weigh(batch), batch)
            for family, batch in validation.items()
            for name, weigh in BASELINES.items()
        }

    def step(self) -> None:
        """Make one step."""
        self._losses.append(self.trainer.learn(self.trainer.draw()))

    @torch.no_grad()
    def report(self) -> tuple[dict[str, float], str]:
        """Return a row of the log, and a line of it."""
        trainer, progress = self.trainer, self.trainer.progress
        row = {
            "minutes": progress.minutes,
            "progress": trainer.done,
            "step": progress.step,
            "learning_rate": trainer.plan.rate(trainer.done, progress.step),
            "loss": sum(self._losses) / len(self._losses),
            **self._baselines,
        }
        for family, batch in self.validation.items():
            weights = fusion_weights(trainer.average(batch.sources, self._gains.get(family)))
            row[f"{family}_learned"] = weighted_psnr(weights, batch)
        better = " ".join(
            f"{family} {row[f'{family}_learned'] - row[f'{family}_mean']:+.2f}"
            for family in self.validation
        )
        self._losses.clear()
        return row, (
            f"{progress.minutes:.1f} min, {trainer.done:.1%} of the plan, step {progress.step}: "
            f"loss {row['loss']:.4f}; dB over the mean: {better}"
        )
