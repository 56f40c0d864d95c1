"""``fusionkit train compact``: train the compact prior."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from fusionkit_diffusion.compact_file import architecture_of, read_file
from fusionkit_diffusion.compact_network import Architecture, count_parameters, forward_flops
from torch import Tensor

from fusionkit.errors import UsageError
from fusionkit.host.weights_file import checked_hash

from ..photographs import Read, read_rgb
from ..state import training_state
from ..training import Task, Training
from . import crops
from .crops import Photographs
from .plan import LEVELS, TAIL, Plan
from .precision import PRECISIONS, choose_precision
from .round import Round
from .trainer import EMA_DECAY, Trainer

VALIDATION_SIDE = 192


class CompactTraining(Training[Plan]):
    """The command.

    Parameters
    ----------
    read
        How photographs are read.
    """

    name = "compact"
    about = "Train the noise estimator compact, on photographs (docs/training.md)."
    plan = Plan
    validation = 6
    report = 5

    def __init__(self, read: Read = read_rgb) -> None:
        self._read = read

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add what concerns the network and the machine."""
        add = parser.add_argument
        add("--init", type=Path, metavar="FILE", help="weights to begin with, as exported")
        add("--widths", help="channels of the levels (default 64,128,192,160)")
        add("--blocks", type=int, help="residual blocks of a level (default 2)")
        add("--device", default="cpu")
        add("--precision", choices=PRECISIONS, default="auto", help="auto: the faster, measured")

    def state(self, checkpoint: Path) -> Mapping[str, Any]:
        """Return what a checkpoint holds of its training."""
        return training_state(read_file(checkpoint)[1], checkpoint, Plan)

    def begin(self, task: Task[Plan]) -> Round:
        """Return a round, its trainer not restored yet."""
        args, plan = task.args, task.plan
        arch = chosen_architecture(args, task.checkpoint or args.init)
        least = plan.largest(arch.multiple_of)
        data = Photographs.read(task.photographs, least, args.device, self._read)
        trainer = Trainer(arch, plan, data, args.seed, args.device)
        if task.checkpoint is None and args.init:
            trainer.begin_with(args.init)
        validation = validation_images(task.held_out, arch.multiple_of, args.device, self._read)
        trainer.low_precision, rate = choose_precision(args.precision, args.device)
        about = (
            f"{count_parameters(arch)} parameters, "
            f"{forward_flops(arch, 256, 256) / 1e9:.1f} GFLOP for 256x256; "
            f"{trainer.low_precision or torch.float32} convolutions at {rate:.3f} TFLOP/s"
        )
        init = checked_hash(args.init) if args.init else "none"
        notes = task.notes(data.sha256, recipe(), init=init)
        return Round(trainer, args.out, validation, args.report, notes, about)


parser, main = CompactTraining().parser, CompactTraining().main


def chosen_architecture(args: argparse.Namespace, file: Path | None) -> Architecture:
    """Return the architecture of a file, if any, with what the command line says of it."""
    arch = architecture_of(read_file(file)[1], file) if file else Architecture()
    changes: dict[str, Any] = {}
    try:
        if args.widths is not None:
            changes["widths"] = tuple(int(width) for width in args.widths.split(","))
        if args.blocks is not None:
            changes["blocks"] = args.blocks
        return replace(arch, **changes)
    except ValueError as error:
        raise UsageError(f"--widths, --blocks: {error}") from None


def validation_images(
    paths: Sequence[Path], multiple: int, device: str, read: Read = read_rgb
) -> list[Tensor]:
    """Return the middle of each photograph, (1, 3, H, W) in [0, 1], of a size that fits."""
    images = []
    for path in paths:
        image, _ = read(path)
        sides = [min(VALIDATION_SIDE, side) // multiple * multiple for side in image.shape[1:]]
        if min(sides) == 0:
            raise UsageError(f"{path}: is too small to be validated on")
        top, left = ((n - side) // 2 for n, side in zip(image.shape[1:], sides, strict=True))
        middle = image[:, top : top + sides[0], left : left + sides[1]]
        images.append(middle[None].to(device).float() / 255)
    return images


def recipe() -> dict[str, Any]:
    """Return what, besides data, plan and seed, decides what is learned."""
    return {
        "ema_decay": EMA_DECAY,
        "levels": LEVELS,
        "tail": TAIL,
        "half_size": crops.HALF,
        "grey": crops.GREY,
        "inverted": crops.INVERTED,
        "gamma": crops.GAMMA,
        "contrast": crops.CONTRAST,
    }
