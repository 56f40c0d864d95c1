"""Train the compact prior: ``fusionkit train compact PHOTOS... --out DIR``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from fusionkit_diffusion.compact_file import architecture_of, read_file
from fusionkit_diffusion.compact_network import Architecture, count_parameters, forward_flops
from torch import Tensor

from fusionkit import __version__
from fusionkit.errors import FusionkitError, UsageError
from fusionkit.host.weights import checked_hash

from ..plan import add_arguments, chosen_plan, find_photographs, split
from ..rounds import CHECKPOINT, training_speed
from ..state import training_state
from . import photographs as variety
from .photographs import Photographs, sources_of
from .plan import LEVELS, TAIL, Plan
from .precision import PRECISIONS, choose_precision
from .round import EXPORT, Round
from .trainer import Trainer

VALIDATION_SIDE = 192


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
    made = argparse.ArgumentParser(prog="fusionkit train compact", description=__doc__)
    add = made.add_argument
    add_arguments(made, Plan, validation=6, report=5)
    add("--minutes", type=float, help="minutes of this round")
    add("--plan-minutes", type=float, help="minutes of all rounds (default: this one's)")
    add("--steps", type=int, help="steps of this round, instead of minutes")
    add("--plan-steps", type=int, help="steps of all rounds, instead of minutes")
    add("--init", type=Path, metavar="FILE", help="weights to begin with, as this command exports")
    add("--widths", help="channels of the levels (default 64,128,192,160)")
    add("--blocks", type=int, help="residual blocks of a level (default 2)")
    add("--device", default="cpu")
    add("--precision", choices=PRECISIONS, default="auto", help="auto: the faster, measured")
    add("--manifest", type=Path, help="CSV with file, source, licence (default: MANIFEST.csv)")
    return made


def train(args: argparse.Namespace) -> int:
    """Train one round."""
    started = time.perf_counter()
    checkpoint = args.out / CHECKPOINT
    resumed = checkpoint.exists()
    if resumed and not args.resume:
        raise UsageError(f"{checkpoint}: is there already: give --resume, or another --out")
    arch, stored = Architecture(), None
    if args.init and not resumed:
        arch = architecture_of(read_file(args.init)[1], args.init)
    if resumed:
        _, metadata = read_file(checkpoint)
        arch = architecture_of(metadata, checkpoint)
        stored = training_state(metadata, checkpoint, Plan)
    arch = chosen_architecture(args, arch)
    plan = whole_plan(args, stored)
    paths = find_photographs(args.photos)
    training, held_out = split(paths, args.validation)
    data = Photographs.read(training, plan.largest(arch.multiple_of), args.device)
    trainer = Trainer(arch, plan, data, args.seed, args.device)
    if resumed:
        trainer.restore(checkpoint)
    elif args.init:
        trainer.begin_with(args.init)
    args.out.mkdir(parents=True, exist_ok=True)
    trainer.low_precision, rate = choose_precision(args.precision, args.device)
    print(
        f"{data.count} photographs, {len(held_out)} held out; {count_parameters(arch)} parameters, "
        f"{forward_flops(arch, 256, 256) / 1e9:.1f} GFLOP for 256x256; "
        f"{trainer.low_precision or torch.float32} convolutions at {rate:.3f} TFLOP/s; "
        f"{trainer.done:.1%} of the plan is done",
        flush=True,
    )
    notes = {
        "data": {
            "photographs": data.count,
            "sha256": data.sha256,
            "sources": sources_of(training, args.manifest),
        },
        "recipe": recipe(trainer),
        "init": checked_hash(args.init) if args.init else "none",
        "licence": args.licence,
        "fusionkit": __version__,
    }
    validation = validation_images(held_out, arch.multiple_of, args.device)
    one = Round(trainer, args.out, validation, notes, args.report, started)
    reason = one.run(end_of_round(args, trainer, started))
    file = args.out / EXPORT
    print(f"{reason}; {trainer.done:.1%} of the plan is done after {trainer.progress.step} steps")
    print(f"{file}: {file.stat().st_size / 1e6:.2f} MB, sha256 {checked_hash(file)}")
    return 0


def chosen_architecture(args: argparse.Namespace, arch: Architecture) -> Architecture:
    """Return the architecture with what the command line says of it."""
    changes: dict[str, Any] = {}
    try:
        if args.widths is not None:
            changes["widths"] = tuple(int(width) for width in args.widths.split(","))
        if args.blocks is not None:
            changes["blocks"] = args.blocks
        return replace(arch, **changes)
    except ValueError as error:
        raise UsageError(f"--widths, --blocks: {error}") from None


def whole_plan(args: argparse.Namespace, stored: dict[str, Any] | None) -> Plan:
    """Return the plan: that of the checkpoint, if any, with what the command line says."""
    length = {unit: getattr(args, f"plan_{unit}") for unit in ("minutes", "steps")}
    if stored is None:
        length = {u: getattr(args, u) if total is None else total for u, total in length.items()}
    plan = chosen_plan(Plan, stored["plan"] if stored else {}, args, length)
    if stored and stored["plan"] != asdict(plan):
        print(f"the plan changes, from {json.dumps(stored['plan'])} to {json.dumps(asdict(plan))}")
    return plan


def validation_images(paths: Sequence[Path], multiple: int, device: str) -> list[Tensor]:
    """Return the middle of each photograph, (1, 3, H, W) in [0, 1], of a size that fits."""
    images = []
    for path in paths:
        image, _ = variety.read_rgb(path)
        sides = [min(VALIDATION_SIDE, side) // multiple * multiple for side in image.shape[1:]]
        if min(sides) == 0:
            raise UsageError(f"{path}: is too small to be validated on")
        top, left = ((n - side) // 2 for n, side in zip(image.shape[1:], sides, strict=True))
        middle = image[:, top : top + sides[0], left : left + sides[1]]
        images.append(middle[None].to(device).float() / 255)
    return images


def end_of_round(args: argparse.Namespace, trainer: Trainer, started: float) -> Callable[[], bool]:
    """Return whether this round is over; its minutes count from the start of the command."""
    first = trainer.progress.step

    def enough() -> bool:
        minutes = (time.perf_counter() - started) / 60
        over = args.minutes is not None and minutes >= args.minutes
        return over or (args.steps is not None and trainer.progress.step - first >= args.steps)

    return enough


def recipe(trainer: Trainer) -> dict[str, Any]:
    """Return what, besides the data, decides what is learned."""
    return {
        **asdict(trainer.plan),
        "seed": trainer.seed,
        "ema_decay": trainer.ema_decay,
        "levels": LEVELS,
        "tail": TAIL,
        "half_size": variety.HALF,
        "grey": variety.GREY,
        "inverted": variety.INVERTED,
        "gamma": variety.GAMMA,
        "contrast": variety.CONTRAST,
    }


if __name__ == "__main__":
    sys.exit(main())
