"""The small maps of a trace that its pictures show."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..sampling.guide import SampledStep
from .diagnostics import reduced

SHOWN_STEPS = 8
"""Steps shown in pictures at most: evenly chosen, the first and the last always."""

MAP_SIDE = 160
"""Side in pixels of the square that has the area of a kept map at most."""

LONGEST_SIDE = 240
"""Longest side in pixels of a kept map."""


@dataclass(frozen=True, eq=False)
class Maps:
    """What the pictures of a trace show, of the first image of the batch, area-averaged.

    Attributes
    ----------
    steps
        (n,) the indices of the steps shown.
    sources
        (K, h, w, C) in [-1, 1], C as in the run.
    estimates
        (n, h, w, C): the estimate after each step's correction; the last is the result.
    weights, gains
        (n, K, h, w).
    """

    steps: tuple[int, ...]
    sources: NDArray[np.float32]
    estimates: NDArray[np.float32]
    weights: NDArray[np.float32]
    gains: NDArray[np.float32]


@dataclass
class KeptMaps:
    """Gathers the maps of a run: small, of the steps shown only, and on the run's device."""

    steps: tuple[int, ...] = ()
    size: tuple[int, int] = (0, 0)
    sources: Tensor | None = None
    estimates: list[Tensor] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    gains: list[Tensor] = field(default_factory=list)
    _gains_due: int = 0

    def take(self, done: SampledStep) -> None:
        """Take the estimate and weights of a step, if it is one that is shown."""
        run = done.step.run
        if self.sources is None:
            even = np.linspace(0, run.steps - 1, min(run.steps, SHOWN_STEPS))
            self.steps = tuple(int(i) for i in even.round())
            self.size = map_size(*run.sources.shape[-2:])
            self.sources = reduced(run.sources[:, 0], self.size)
        if done.step.index in self.steps:
            self.estimates.append(reduced(done.corrected[0], self.size))
            self.weights.append(reduced(done.weights[:, 0, 0], self.size))

    def take_gain(self, gain: Tensor) -> None:
        """Take the gain of the next step; gains come one step late."""
        if self._gains_due in self.steps:
            self.gains.append(reduced(gain[:, 0, 0], self.size))
        self._gains_due += 1

    def read(self) -> Maps:
        """Read everything from the device."""
        assert self.sources is not None
        return Maps(
            self.steps,
            _read(self.sources.movedim(1, -1)),
            _read(torch.stack(self.estimates).movedim(1, -1)),
            _read(torch.stack(self.weights)),
            _read(torch.stack(self.gains)),
        )


def map_size(height: int, width: int) -> tuple[int, int]:
    """Return the size of the kept maps of an image of height x width pixels."""
    scale = min(1.0, MAP_SIDE / math.sqrt(height * width), LONGEST_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _read(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.float().cpu().numpy()
    return array
