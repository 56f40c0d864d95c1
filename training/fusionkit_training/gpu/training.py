"""What the trainings of a lent GPU have in common: time, data, and what is kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch

from fusionkit.errors import UsageError
from fusionkit.host.weights_file import checked_hash

from ..plan import Plan, chosen_plan
from ..rounds import training_speed
from ..training import Task, Training, end_of_round
from .pack import Pack
from .stage import Stage

P = TypeVar("P", bound=Plan)

REPORTS = 8
"""Rows of the log of a training, each with its weights."""

STEPS_OF_TOY = 2


def pack_of(stage: Stage) -> Pack:
    """Open the photographs to train on; raise UsageError where none are given."""
    if stage.args.data is None:
        raise UsageError("say what to train on: --data FILE, which --pack wrote")
    return Pack.open(stage.args.data)


def train(
    stage: Stage, training: Training[P], pack: Pack, options: Sequence[str], kept: float
) -> Path:
    """Train until so many seconds are left; return the file of weights.

    The state is not saved, but the weights at every row of the log: they are what is small enough
    to be taken back, and what a further training begins with.

    Parameters
    ----------
    stage, pack
        Where, and until when; what to train on.
    training
        The command whose plan and round it is.
    options
        What its command line says, but for photographs, folder and time.
    kept
        Seconds that are left when the training ends.
    """
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    started, minutes = time.perf_counter(), (stage.left() - kept) / 60
    if minutes <= 0:
        raise UsageError(f"--limits {stage.name}: {kept:g} s are for what follows the training")
    length = ["--minutes", repr(minutes), "--report", repr(minutes / REPORTS)]
    if stage.toy:
        length = ["--steps", str(STEPS_OF_TOY)]
    folder = Path(stage.args.out) / stage.name
    args = training.parser().parse_args(
        ["pack", "--out", str(folder), *length, "--licence", stage.args.licence, *options]
    )
    plan = chosen_plan(training.plan, {}, args)
    with training_speed(torch.get_num_threads()):
        one = training.begin(Task(args, plan, pack.train, pack.held_out, None, pack.sources))
        one.keeps_state = False
        reason = one.run(end_of_round(args, one.trainer, started), started)
    file = folder / one.file
    stage.tell(what="training", about=one.about, ended=reason, **one.trained())
    stage.tell(what="weights", file=f"{stage.name}/{one.file}", sha256=checked_hash(file))
    return file
