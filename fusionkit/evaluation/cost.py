"""What a recipe costs, counted on a thumbnail and without its noise estimator's work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..contract.estimator import NoiseEstimator
from ..contract.registry import Registry
from ..host.composing import compose
from ..host.parts import Part
from ..host.pipeline import Pipeline
from ..recipes.layers import merge
from .variants import Variant

_SIDE = 128
"""Pixels: NFE does not depend on the size, as long as what shrinks its sources still can."""


class _StandIn:
    """A prior that takes no time in another's place: of white images, pixel by pixel."""

    def __init__(self, estimator: NoiseEstimator) -> None:
        self.channels = estimator.channels
        self.multiple_of = estimator.multiple_of
        self.sigma_min, self.sigma_max = estimator.sigma_min, estimator.sigma_max

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the posterior mean, for pixels with a variance of 1/4."""
        return x / (1 + 4 * sigma.square().view(-1, 1, 1, 1))

    def vjp(self, x: Tensor, sigma: Tensor, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        """Return the estimate and its gradient."""
        return self.denoise(x, sigma), self.denoise(cotangent, sigma)


def nfe_of(
    recipe: Mapping[str, Any],
    count: int,
    registry: Registry,
    built: dict[str, Part] | None = None,
) -> float:
    """Return the NFE of a recipe on one scene of ``count`` sources."""
    return rehearsed_nfe(compose(recipe=recipe, registry=registry, built=built), count)


def rehearsed_nfe(
    pipeline: Pipeline,
    count: int,
    size: tuple[int, int] = (_SIDE, _SIDE),
) -> float:
    """Return the NFE of a pipeline on ``count`` sources (H, W), larger ones on a thumbnail."""
    estimator = pipeline.parts["estimator"]
    stand_in = replace(estimator, built=_StandIn(estimator.built))
    parts = {**pipeline.parts, "estimator": stand_in}
    rehearsal = Pipeline(parts, pipeline.settings, pipeline.context)
    height, width = (min(side, _SIDE) for side in size)
    sources = torch.linspace(-1, 1, count * height * width).view(count, 1, 1, height, width)
    return rehearsal(sources, seed=0).nfe


def nearest_steps(
    recipe: Mapping[str, Any],
    nfe: float,
    count: int,
    registry: Registry,
    built: dict[str, Part] | None = None,
) -> int:
    """Return in how many steps a recipe comes nearest to an NFE; rather above than below.

    The recipe's own number where steps do not change what it costs.
    """
    steps = int(recipe["steps"])

    def cost(number: int) -> float:
        return nfe_of({**recipe, "steps": number}, count, registry, built)

    if recipe["sigmas"] or (each := (cost(2 * steps) - cost(steps)) / steps) <= 0:
        return steps
    # About linear: a weighting that renews its weights every second step has kinks.
    guess = round(steps + (nfe - cost(steps)) / each)
    near = range(max(1, guess - 1), max(1, guess + 1) + 1)
    return min(near, key=lambda number: (abs(cost(number) - nfe), -number))


def steps_at_nfe(
    variant: Variant,
    nfe: float,
    count: int,
    registry: Registry,
    built: dict[str, Part] | None = None,
) -> int | None:
    """Return how many steps of the variant with fixed weights cost this NFE.

    None where fixed weights cost nothing, as without a fused trajectory.
    """
    steps = int(variant.recipe["steps"])
    fixed = merge(variant.recipe, {"weighting": "fixed:fixed"}, registry=registry)
    if variant.recipe["sigmas"]:
        return steps
    each = nfe_of(fixed, count, registry, built) / steps
    return max(1, round(nfe / each)) if each > 0 else None
