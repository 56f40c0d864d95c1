"""The information gains that the network of ``learned`` may be shown, at half the resolution."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from fusionkit import Run, UsageError, box_mean
from fusionkit.ops import gradient_difference

FACTOR = 2
"""By how much sources are shrunk before they are noised and estimated: to the network's stem."""

WINDOW = 5
"""Side of the window that gains are averaged over, in pixels at half size."""

NEAR = 1.1
"""A run's level stands for one of training that is no more than this factor away."""


def information_gain(estimate: Tensor, source: Tensor) -> Tensor:
    """Return what denoising has left to recover of a source, (B, 1, h, w), from (B, C, h, w).

    The gain from a level on to the clean one, of gradients: what DIG sums to over the steps that
    follow (arXiv 2503.18627, eq. 7, of which every but the first term cancels).
    """
    return box_mean(gradient_difference(estimate, source), WINDOW)


def sigmas_of(metadata: Mapping[str, str], file: Path) -> tuple[float, ...]:
    """Return the noise levels whose gains a file's network was shown, of its metadata ``gains``.

    Raises
    ------
    UsageError
        They are no positive numbers.
    """
    try:
        levels = parsed(metadata.get("gains", ""))
    except ValueError as error:
        raise UsageError(f"{file}: its metadata {error}") from None
    return levels


def parsed(text: str) -> tuple[float, ...]:
    """Return levels such as ``2.03,0.72``; none of an empty text.

    Raises
    ------
    ValueError
        They are no positive numbers that decrease.
    """
    try:
        levels = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        levels = (0.0,)
    ordered = sorted({*levels}, reverse=True) == [*levels]
    if not ordered or not all(0 < level < math.inf for level in levels):
        raise ValueError(f"gains {text[:60]!r}: noise levels are positive numbers that decrease")
    return levels


def run_levels(sigmas: tuple[float, ...], run: Run) -> list[int]:
    """Return the run's levels that are nearest to those of training.

    Raises
    ------
    UsageError
        The run has none near one of them.
    """
    found = []
    for sigma in sigmas:
        apart = [abs(math.log(level / sigma)) for level in run.sigma[:-1]]
        nearest = min(range(run.steps), key=apart.__getitem__)
        if apart[nearest] > math.log(NEAR):
            raise UsageError(
                f"these weights look at gains at the noise level {sigma:.3g}, which this run does "
                f"not visit (--sigmas {','.join(f'{each:g}' for each in sigmas)} would)"
            )
        found.append(nearest)
    return found


@torch.no_grad()
def gains_of(run: Run, sigmas: tuple[float, ...]) -> Tensor:
    """Return the gains of a run's sources, (K, B, L, H/2, W/2), sizes rounded up."""
    small = run.reduced(FACTOR)
    levels = run_levels(sigmas, run)
    small.announce(levels, singly=True)
    gains = small.sources.new_empty(
        *small.sources.shape[:2], len(levels), *small.sources.shape[-2:]
    )
    for n, level in enumerate(levels):
        for k, source in enumerate(small.sources.unbind()):
            gains[k, :, n : n + 1] = information_gain(small.source_estimate(level, k), source)
    return gains
