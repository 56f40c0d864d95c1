"""Training the weighting ``learned`` for as long as there is, from a pack of photographs."""

from __future__ import annotations

from ..learned.train import LearnedTraining
from .stage import Stage
from .training import pack_of, train

PLAN = ("--crop", "96", "--batch", "64")
"""Crops that fit into the packed photographs at a quarter of their size; the CPU draws them."""

PLAN_OF_TOY = ("--crop", "32", "--batch", "2")

AFTERWARDS = 10.0
"""Seconds for the last weights."""


def run(stage: Stage) -> None:
    """Train; what the validation says is in the log."""
    pack = pack_of(stage)
    options = ["--device", stage.device, *(PLAN_OF_TOY if stage.toy else PLAN)]
    train(stage, LearnedTraining(pack.luma), pack, options, AFTERWARDS)
