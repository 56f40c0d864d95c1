"""What the network is trained on: degraded sources, and the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .crops import Photographs
from .degradations import AS_THEY_ARE, CHOOSING, SUBJECTS, TASTE, degrade
from .draw import Draw

SOURCES = ((2, 0.4), (3, 0.2), (4, 0.12), (5, 0.14), (6, 0.07), (7, 0.07))
"""How many sources a batch has, and its share."""


@dataclass(frozen=True)
class Batch:
    """B samples of K sources, values in [-1, 1].

    Attributes
    ----------
    sources
        (K, B, 1, S, S).
    fusion
        (B, 1, S, S): the right answer.
    taste
        (B,): 1 where the brightness of the answer is one of several that would do, else 0.
    choosing
        (B,): 1 where one source is the best at each pixel, in a way that can be told, else 0.
    """

    sources: Tensor
    fusion: Tensor
    taste: Tensor
    choosing: Tensor

    def to(self, device: str) -> Batch:
        """Return the same on a device."""
        return Batch(*(getattr(self, each.name).to(device) for each in fields(self)))


def draw_batch(
    photographs: Photographs, total: int, size: int, seed: int, step: int, subject: str = "focus"
) -> Batch:
    """Return the batch of a step, about ``total`` sources: a function of (seed, step)."""
    rotation = SUBJECTS[subject]
    draw = Draw(seed, step)
    u = draw.uniform()
    K = next((k for n, (k, _) in enumerate(SOURCES) if u < sum(s for _, s in SOURCES[: n + 1])), 2)
    count = max(1, round(total / K))
    families = [rotation[draw.whole(0, len(rotation) - 1)] for n in range(count)]
    pairs = [
        degrade(name, photographs.crop(size, draw, name not in AS_THEY_ARE), K, draw)
        for name in families
    ]
    return assemble(pairs, families)


def assemble(pairs: Sequence[tuple[Tensor, Tensor]], families: Sequence[str]) -> Batch:
    """Make a batch of sources (K, S, S) and fusions (S, S) in [0, 1]."""
    return Batch(
        sources=2 * torch.stack([pair[0] for pair in pairs], 1)[:, :, None] - 1,
        fusion=2 * torch.stack([pair[1] for pair in pairs])[:, None] - 1,
        taste=torch.tensor([float(name in TASTE) for name in families]),
        choosing=torch.tensor([float(name in CHOOSING) for name in families]),
    )
