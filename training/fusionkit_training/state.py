"""The state of a training: its checkpoint, the average of its weights, and its randomness.

A checkpoint is a file of ``write_safetensors`` whose metadata have an entry
``training``: a table as JSON, with the ``plan`` and whatever else a training needs to go on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.errors import UsageError

from .plan import Plan


def training_state(metadata: Mapping[str, str], file: Path, plan: type[Plan]) -> dict[str, Any]:
    """Return what a checkpoint's metadata hold of its training.

    Raises
    ------
    UsageError
        There is nothing of the kind, or the plan in it is none of the class ``plan``.
    """
    try:
        state: dict[str, Any] = json.loads(metadata["training"])
        plan(**state["plan"])
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"{file}: is no checkpoint of a training") from None
    return state


def check_same(state: Mapping[str, Any], file: Path, **given: object) -> None:
    """Raise UsageError for the first of ``given`` (seed, photographs ...) that ``state`` has not.

    A training that went on with others would not be the one that was begun.
    """
    for name, value in given.items():
        if state.get(name) != value:
            raise UsageError(
                f"{file}: was trained with other {name} than are given now: give the same, "
                "or another folder to start anew"
            )


def by_part(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return tensors that are called ``part/name`` as one dictionary of names for every part."""
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        part, _, rest = key.partition("/")
        parts.setdefault(part, {})[rest] = value
    return parts


def generator_for(*key: object, device: str | torch.device = "cpu") -> torch.Generator:
    """Return a generator that is a function of its key.

    With the seed and the step as key, a resumed training goes on as if it had never stopped.
    """
    digest = hashlib.sha256("\n".join(map(str, key)).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Move the running average of the weights towards them, by 1 - ``decay``, more at first."""
    # A short memory at first, so that the average does not drag the beginning along.
    decay = min(decay, (1 + step) / (10 + step))
    for mean, current in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(current, 1 - decay)
