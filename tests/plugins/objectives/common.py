"""What the tests of objectives share."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionkit import Step
from fusionkit.sampling.run import Run
from fusionkit.testing.doubles import make_run


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1


def some_weights(K: int, B: int, H: int, W: int, seed: int = 3) -> Tensor:
    """Weights that differ from pixel to pixel."""
    return (2 * draw(K, B, 1, H, W, seed=seed)).softmax(0)


def run_of(sources: Tensor, steps: int = 4) -> Run:
    return make_run(sources, steps=steps)


def step_at(run: Run, index: int, x0: Tensor | None) -> Step:
    return Step(run, index, x0, x0)
