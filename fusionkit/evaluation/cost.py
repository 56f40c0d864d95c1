"""What a recipe costs, counted on a thumbnail and without its noise estimator's work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..contract.registry import Registry
from ..host.composing import compose
from ..host.parts import Part
from ..host.rehearsing import rehearsed
from ..recipes.layers import merge
from .variants import Variant


def nfe_of(
    recipe: Mapping[str, Any],
    count: int,
    registry: Registry,
    built: dict[str, Part] | None = None,
) -> float:
    """Return the NFE of a recipe on one scene of ``count`` sources."""
    return rehearsed(compose(recipe=recipe, registry=registry, built=built), count).nfe


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
