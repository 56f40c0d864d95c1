"""Tiny trainings of the compact prior."""

from __future__ import annotations

from pathlib import Path

from fusionkit_diffusion.compact_network import Architecture
from fusionkit_training.compact.crops import Photographs
from fusionkit_training.compact.plan import Plan
from fusionkit_training.compact.trainer import Trainer
from fusionkit_training.photographs import find_photographs

from tests.plugins.diffusion.compact.tiny import TINY


def trainer(folder: Path, steps: int = 8, arch: Architecture = TINY, **plan: float) -> Trainer:
    """A trainer on such a folder, for so many steps."""
    settings = {"crop": 16, "batch": 4, "warm_up": 2, **plan}
    photographs = Photographs.read(find_photographs([folder]), 32)
    return Trainer(arch, Plan(steps, "steps", **settings), photographs)
