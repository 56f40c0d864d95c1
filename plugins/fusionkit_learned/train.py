"""Train the learned weighting: ``python -m fusionkit_learned.train PHOTOS... --out DIR``."""

from __future__ import annotations

import argparse
import csv
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from fusionkit import __version__
from fusionkit.errors import FusionkitError, UsageError
from fusionkit.imaging import write_text

from .degradations import FAMILIES
from .evaluate import BASELINES, degraded, psnr, read_images
from .network import fusion_weights
from .photographs import Photographs, find_photographs, split
from .samples import Batch
from .trainer import EMA_DECAY, Plan, Trainer, read_checkpoint
from .weights_file import read_file

CHECKPOINT, EXPORT, LOG = "checkpoint.safetensors", "learned.safetensors", "log.csv"

COLUMNS = (
    "minutes", "progress", "step", "learning_rate", "loss",
    *(f"{family}_{who}" for family in FAMILIES for who in ("learned", *BASELINES)),
)  # fmt: skip

VALIDATION_LEVEL = 0.05


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    try:
        return train(parser().parse_args(arguments))
    except FusionkitError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def parser() -> argparse.ArgumentParser:
    """Return the parser; options of the plan left out are a resumed training's own."""
    made = argparse.ArgumentParser(prog="python -m fusionkit_learned.train", description=__doc__)
    add = made.add_argument
    add("photos", nargs="+", metavar="PHOTOS", help="images, or folders of images")
    add("--out", required=True, type=Path, help="folder for checkpoint, log and weights")
    add("--minutes", type=float, help="minutes of the whole training, over all rounds")
    add("--steps", type=int, help="its steps, in the place of minutes")
    add("--pause-after", type=int, help="end this round after so many steps, to be resumed")
    add("--resume", action="store_true", help="continue what is in --out, if there is anything")
    add("--seed", type=int, default=0)
    add("--rate", type=float, help="highest learning rate (default 3e-3)")
    add("--warm-up", type=int, help="steps until it is reached (default 100)")
    add("--batch", type=int, help="crops of a step (default 12)")
    add("--crop", type=int, help="side of a crop, a multiple of 16 (default 96)")
    add("--validation", type=int, default=8, help="photographs held out (default 8)")
    add("--report", type=float, default=1.0, help="minutes between checkpoints (default 1)")
    add("--threads", type=int, default=1)
    add("--licence", default="not stated", help="of the weights; goes into their metadata")
    return made


def train(args: argparse.Namespace) -> int:
    """Train until the plan is done, the round is over, or a signal comes."""
    started = time.perf_counter()
    torch.set_num_threads(args.threads)
    # Numbers too small to matter are zero, which is much faster.
    torch.set_flush_denormal(True)
    checkpoint = args.out / CHECKPOINT
    resumed = checkpoint.exists()
    if resumed and not args.resume:
        raise UsageError(f"{checkpoint}: is there already: give --resume, or another --out")
    plan = chosen_plan(args, read_checkpoint(checkpoint)[1]["plan"] if resumed else {})
    training, held_out = split(find_photographs(args.photos), args.validation)
    photographs = Photographs.read(training, plan.crop)
    validation = degraded(read_images(held_out, plan.crop), plan.crop, VALIDATION_LEVEL)
    trainer = Trainer(plan, photographs, args.seed)
    if resumed:
        trainer.restore(checkpoint)
    args.out.mkdir(parents=True, exist_ok=True)
    print(
        f"{len(training)} photographs, {len(held_out)} held out; "
        f"{sum(p.numel() for p in trainer.network.parameters())} parameters; "
        f"{trainer.done:.1%} of the plan is done",
        flush=True,
    )
    reason = run(trainer, args, Report(trainer, args.out, validation), started)
    file = args.out / EXPORT
    notes = {
        "data": {"photographs": len(training), "sha256": photographs.sha256},
        "recipe": {**asdict(plan), "seed": args.seed, "ema_decay": EMA_DECAY},
        "trained": {"steps": trainer.step, "minutes": round(trainer.minutes, 2)},
        "licence": args.licence,
        "fusionkit": __version__,
    }
    trainer.export(file, notes)
    print(f"{reason}; {trainer.done:.1%} of the plan is done after {trainer.step} steps")
    print(f"{file}: {file.stat().st_size / 1e3:.1f} kB, sha256 {read_file(file)[2]}")
    return 0


def chosen_plan(args: argparse.Namespace, stored: dict[str, Any]) -> Plan:
    """Return the plan: that of the checkpoint, if any, with what the command line says."""
    given = {"peak": args.rate, "warm_up": args.warm_up, "crop": args.crop, "batch": args.batch}
    for unit in ("minutes", "steps"):
        if getattr(args, unit) is not None:
            given.update(unit=unit, total=getattr(args, unit))
    changes = {name: value for name, value in given.items() if value is not None}
    if any(value <= 0 for value in changes.values() if not isinstance(value, str)):
        raise UsageError("lengths, sizes and rates of a training must be above 0")
    try:
        plan = Plan(**{**stored, **changes})
    except TypeError:
        raise UsageError("say how long to train: --minutes N, or --steps N") from None
    if plan.crop % 16:
        raise UsageError(f"--crop {plan.crop}: must be a multiple of 16")
    return plan


def run(trainer: Trainer, args: argparse.Namespace, report: Report, started: float) -> str:
    """Make steps until there is a reason to stop, which is returned; the state is then saved."""
    first, last = trainer.step, started
    reported = time.perf_counter()
    with stop_requested() as stopping:
        while True:
            if trainer.done >= 1:
                reason = "the plan is done"
                break
            if stopping():
                reason = "a signal asked to stop"
                break
            if args.pause_after is not None and trainer.step - first >= args.pause_after:
                reason = "the round is over"
                break
            report.losses.append(trainer.learn(trainer.draw()))
            now = time.perf_counter()
            trainer.minutes += (now - last) / 60
            last = now
            if now - reported >= 60 * args.report:
                report()
                reported = time.perf_counter()
        if report.losses:
            report()
    return reason


class Report:
    """Validates, saves, and writes a row of the log.

    Rows that a resumed training will make again are dropped.
    """

    def __init__(self, trainer: Trainer, folder: Path, validation: dict[str, Batch]) -> None:
        self.trainer = trainer
        self.folder = folder
        self.validation = validation
        self.losses: list[float] = []
        self.baselines = {
            f"{family}_{name}": psnr(weigh(batch), batch)
            for family, batch in validation.items()
            for name, weigh in BASELINES.items()
        }
        rows: list[dict[str, str]] = []
        if (folder / LOG).is_file() and trainer.step:
            with (folder / LOG).open(newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if _made_by(row, trainer.step)]
        lines = [",".join(COLUMNS), *(",".join(row[c] for c in COLUMNS) for row in rows)]
        write_text(folder / LOG, "\n".join(lines) + "\n", overwrite=True)

    @torch.no_grad()
    def __call__(self) -> None:
        """Report on the steps since the last time."""
        trainer = self.trainer
        row = {
            "minutes": trainer.minutes,
            "progress": trainer.done,
            "step": trainer.step,
            "learning_rate": trainer.plan.rate(trainer.done, trainer.step),
            "loss": sum(self.losses) / len(self.losses),
            **self.baselines,
        }
        for family, batch in self.validation.items():
            weights = fusion_weights(trainer.average(batch.sources, batch.x0, batch.sigma))
            row[f"{family}_learned"] = psnr(weights, batch)
        trainer.save(self.folder / CHECKPOINT)
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(",".join(f"{row[column]:.6g}" for column in COLUMNS) + "\n")
        better = " ".join(
            f"{family} {row[f'{family}_learned'] - row[f'{family}_mean']:+.2f}"
            for family in self.validation
        )
        print(
            f"{trainer.minutes:.1f} min, {trainer.done:.1%} of the plan, step {trainer.step}: "
            f"loss {row['loss']:.4f}; dB over the mean: {better}",
            flush=True,
        )
        self.losses.clear()


def _made_by(row: dict[str, str], step: int) -> bool:
    complete = all(row.get(column) for column in COLUMNS)
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


if __name__ == "__main__":
    sys.exit(main())
