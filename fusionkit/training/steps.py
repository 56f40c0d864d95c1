"""What every step needs: randomness of its own, and the running average of the weights."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


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
