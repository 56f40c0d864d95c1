"""What each part of a recipe buys: the recipe with one part replaced, at the same cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fusionkit.contract.registry import Registry
from fusionkit.contract.weighting import WEIGHTING
from fusionkit.errors import UsageError
from fusionkit.evaluation.cost import nearest_steps, nfe_of
from fusionkit.evaluation.variants import Variant, matched, resolve, rungs
from fusionkit.recipes.finding import Layer
from fusionkit.recipes.layers import merge

from .methods import Fusion, Method, Row
from .recipes import Recipe
from .scenes import BenchScene, Made

WEIGHTINGS = ("fixed:fixed", "saliency:saliency", "learned:learned")
"""What a recipe's weighting is replaced by."""


class SameCost(Row):
    """A recipe with another weighting, in as many steps as bring its NFE nearest to the recipe's.

    NFE depends on the number of sources, and so do the steps: they are counted when a scene of
    that many is met.
    """

    def __init__(self, recipe: Recipe, name: str, layer: Layer) -> None:
        super().__init__(name)
        self._recipe, self._layer = recipe, layer
        self._at: dict[int, Recipe] = {}

    @property
    def code(self) -> str:
        """The code of its own components."""
        return self._recipe.changed(self.name, self._layer).code

    def record(self, scene: BenchScene) -> dict[str, Any]:
        """Return that of the recipe with its steps."""
        return self.of_count(scene.count).record(scene)

    def fuse(self, scene: BenchScene, made: Made) -> Fusion:
        """Fuse."""
        return self.of_count(scene.count).fuse(scene, made)

    def of_count(self, count: int) -> Recipe:
        """Return the recipe for so many sources."""
        if count not in self._at:
            owner = self._recipe
            changed = owner.changed(self.name, self._layer)
            nfe = nfe_of(owner.recipe, count, owner.registry, owner.built)
            steps = nearest_steps(changed.recipe, nfe, count, owner.registry, owner.built)
            self._at[count] = owner.changed(self.name, {**changed.recipe, "steps": steps})
        return self._at[count]


def variants(recipe: Recipe) -> list[Method]:
    """Return the variants of a recipe that there are, and that are not the recipe itself.

    - ``fixed``, ``saliency``, ``learned``: that weighting at the recipe's NFE, with the options
      that it shares with the recipe's own as they are there, others by default;
    - ``target only``: without the fused trajectory, ``gaussian prior``: the closed-form prior in
      place of the network (:func:`..plan.rungs`);
    - ``no prior``: without the fused trajectory, weighted by ``saliency``: nothing is left that
      asks the prior.
    """
    registry = recipe.registry
    rows: list[Method] = []
    for weighting in _installed(registry):
        layer = _resolved(recipe, {"weighting": weighting})
        if layer is not None:
            rows.append(SameCost(recipe, f"{recipe.name}, {weighting.rpartition(':')[2]}", layer))
    below = rungs(Variant(recipe.name, recipe.recipe), registry)
    rows += [recipe.changed(rung.label, rung.recipe) for rung in below]
    classical = _resolved(
        recipe, {"weighting": "saliency:saliency", "objective": {"strength": 0.0}}
    )
    if classical is not None:
        rows.append(recipe.changed(f"{recipe.name}, no prior", classical))
    return rows


def _installed(registry: Registry) -> list[str]:
    names = {provided.qualified for provided in registry.all(WEIGHTING)}
    return [name for name in WEIGHTINGS if name in names]


def _resolved(recipe: Recipe, change: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        layer = merge(recipe.recipe, change, registry=recipe.registry)
        found = resolve(matched(layer, recipe.recipe, recipe.registry), recipe.registry)
    except UsageError:  # an objective without a strength, a weighting that is not installed
        return None
    return None if found == recipe.recipe else found
