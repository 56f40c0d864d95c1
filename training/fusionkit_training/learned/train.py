"""Train the learned weighting: ``fusionkit train learned PHOTOS... --out DIR``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from fusionkit_learned.network import fusion_weights

from fusionkit import __version__
from fusionkit.errors import FusionkitError, UsageError
from fusionkit.host.weights import checked_hash

from .. import rounds
from ..plan import add_arguments, chosen_plan, find_photographs, split
from ..rounds import CHECKPOINT, training_speed
from .degradations import FAMILIES
from .evaluate import BASELINES, degraded, psnr, read_images
from .photographs import Photographs
from .samples import Batch
from .trainer import EMA_DECAY, Plan, Trainer, read_checkpoint

EXPORT = "learned.safetensors"

COLUMNS = (
    "minutes", "progress", "step", "learning_rate", "loss",
    *(f"{family}_{who}" for family in FAMILIES for who in ("learned", *BASELINES)),
)  # fmt: skip

VALIDATION_LEVEL = 0.05


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    try:
        args = parser().parse_args(arguments)
        with training_speed(args.threads):
            return train(args)
    except FusionkitError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def parser() -> argparse.ArgumentParser:
    """Return the parser; options of the plan left out are a resumed training's own."""
    made = argparse.ArgumentParser(prog="fusionkit train learned", description=__doc__)
    add = made.add_argument
    add_arguments(made, Plan, validation=8, report=1)
    add("--minutes", type=float, help="minutes of the whole training, over all rounds")
    add("--steps", type=int, help="its steps, instead of minutes")
    add("--pause-after", type=int, help="end this round after so many steps, to be resumed")
    return made


def train(args: argparse.Namespace) -> int:
    """Train until the plan is done, the round is over, or a signal comes."""
    started = time.perf_counter()
    checkpoint = args.out / CHECKPOINT
    resumed = checkpoint.exists()
    if resumed and not args.resume:
        raise UsageError(f"{checkpoint}: is there already: give --resume, or another --out")
    plan = whole_plan(args, read_checkpoint(checkpoint)[1]["plan"] if resumed else {})
    learned_from, held_out = split(find_photographs(args.photos), args.validation)
    photographs = Photographs.read(learned_from, plan.crop)
    validation = degraded(read_images(held_out, plan.crop), plan.crop, VALIDATION_LEVEL)
    trainer = Trainer(plan, photographs, args.seed)
    if resumed:
        trainer.restore(checkpoint)
    args.out.mkdir(parents=True, exist_ok=True)
    print(
        f"{len(learned_from)} photographs, {len(held_out)} held out; "
        f"{sum(p.numel() for p in trainer.network.parameters())} parameters; "
        f"{trainer.done:.1%} of the plan is done",
        flush=True,
    )
    notes = {
        "data": {"photographs": len(learned_from), "sha256": photographs.sha256},
        "recipe": {**asdict(plan), "seed": args.seed, "ema_decay": EMA_DECAY},
        "licence": args.licence,
        "fusionkit": __version__,
    }
    one = Round(trainer, args, validation, notes, started)
    reason = one.run(end_of_round(args, trainer))
    file = args.out / EXPORT
    print(f"{reason}; {trainer.done:.1%} of the plan is done after {trainer.progress.step} steps")
    print(f"{file}: {file.stat().st_size / 1e3:.1f} kB, sha256 {checked_hash(file)}")
    return 0


def whole_plan(args: argparse.Namespace, stored: dict[str, Any]) -> Plan:
    """Return the plan: that of the checkpoint, if any, with what the command line says."""
    length = {"steps": args.steps, "minutes": args.minutes}
    plan = chosen_plan(Plan, stored, args, length)
    if plan.crop % 16:
        raise UsageError(f"--crop {plan.crop}: must be a multiple of 16")
    return plan


def end_of_round(args: argparse.Namespace, trainer: Trainer) -> Callable[[], bool]:
    """Return whether this round is over."""
    if args.pause_after is None:
        return lambda: False
    last = trainer.progress.step + args.pause_after
    return lambda: trainer.progress.step >= last


class Round(rounds.Round[Trainer]):
    """One round, validated on samples of photographs held out, by family."""

    def __init__(
        self,
        trainer: Trainer,
        args: argparse.Namespace,
        validation: dict[str, Batch],
        notes: dict[str, Any],
        started: float,
    ) -> None:
        super().__init__(trainer, args.out, COLUMNS, args.report, started)
        self.validation = validation
        self.notes = notes
        self._losses: list[float] = []
        self._baselines = {
            f"{family}_{name}": psnr(weigh(batch), batch)
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
            weights = fusion_weights(trainer.average(batch.sources, batch.x0, batch.sigma))
            row[f"{family}_learned"] = psnr(weights, batch)
        better = " ".join(
            f"{family} {row[f'{family}_learned'] - row[f'{family}_mean']:+.2f}"
            for family in self.validation
        )
        self._losses.clear()
        return row, (
            f"{progress.minutes:.1f} min, {trainer.done:.1%} of the plan, step {progress.step}: "
            f"loss {row['loss']:.4f}; dB over the mean: {better}"
        )

    def export(self) -> None:
        """Write the averaged weights, with the notes and how far they were trained."""
        progress = self.trainer.progress
        trained = {"steps": progress.step, "minutes": round(progress.minutes, 2)}
        self.trainer.export(self.folder / EXPORT, {**self.notes, "trained": trained})


if __name__ == "__main__":
    sys.exit(main())
