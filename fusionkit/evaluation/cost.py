"""What a recipe costs, counted on a thumbnail: NFE does not depend on the size of the images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..components import Registry
from ..composing import compose
from ..pipeline import Part
from ..recipe import merge
from .plan import Variant

_SIDE = 16


def nfe_of(
    recipe: Mapping[str, Any],
    count: int,
    registry: Registry,
    built: dict[str, Part] | None = None,
) -> float:
    """Return the NFE of a recipe on one scene of ``count`` sources."""
    pipeline = compose(recipe=recipe, registry=registry, built=built)
    sources = torch.linspace(-1, 1, count * _SIDE**2).view(count, 1, 1, _SIDE, _SIDE)
    return pipeline(sources, seed=0).nfe


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
    fixed = merge(variant.recipe, {"weighting": "fixed"})
    if variant.recipe["timesteps"]:
        return steps
    each = nfe_of(fixed, count, registry, built) / steps
    return max(1, round(nfe / each)) if each > 0 else None
