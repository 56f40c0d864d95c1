"""Recipes of fusionkit as methods, all sources at once or pair by pair."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

from fusionkit.contract.registry import Registry
from fusionkit.evaluation.variants import resolve
from fusionkit.host.composing import compose
from fusionkit.host.fingerprint import code_of_class, combined, core_code
from fusionkit.host.parts import Part
from fusionkit.host.pipeline import Pipeline
from fusionkit.host.scene import Scene
from fusionkit.recipes.finding import Layer, base_layers
from fusionkit.recipes.layers import merge

from .methods import Fusion, Row
from .scenes import BenchScene, Made


class Recipe(Row):
    """A recipe of fusionkit. Models are loaded when they are first needed, and shared."""

    def __init__(self, name: str, layer: Layer, registry: Registry, built: dict[str, Part]) -> None:
        super().__init__(name)
        self.registry, self.built = registry, built
        # Eight bits, as all rows have; what a recipe leaves out is the default task's.
        layers = [*base_layers(recipe=layer), {"depth": "8"}]
        self.recipe = resolve(merge(*layers, registry=registry), registry)

    @cached_property
    def pipeline(self) -> Pipeline:
        """The composed pipeline."""
        return compose(recipe=self.recipe, registry=self.registry, built=self.built)

    @cached_property
    def code(self) -> str:
        """A hash of the host and of the plugins that it uses."""
        parts = self.pipeline.parts.values()
        return combined(core_code(), *(code_of_class(type(part.built)) for part in parts))

    def changed(self, name: str, layer: Layer) -> Recipe:
        """Return another recipe, which shares the models of this one."""
        layer = merge(self.recipe, layer, registry=self.registry)
        return Recipe(name, layer, self.registry, self.built)

    def record(self, scene: BenchScene) -> dict[str, Any]:
        """Return the resolved recipe, where its parts come from, and the seed."""
        parts = self.pipeline.parts
        return {
            "recipe": self.recipe,
            "components": {group: part.provenance() for group, part in parts.items()},
            "seed": scene.seed,
        }

    def fuse(self, scene: BenchScene, made: Made) -> Fusion:
        """Fuse as ``fusionkit run`` does, from arrays."""
        loaded = Scene.load(list(made.sources), self.pipeline.settings)
        result = loaded.fuse(self.pipeline, scene.seed)
        run = result.record["run"]
        return Fusion(result.pixels, run["seconds"], run["nfe"])


class NoiseAuto(Recipe):
    """A recipe that estimates what noise its sources have, and takes it off (``noise = "auto"``).

    It does so without noise too: nothing should be lost by it. What its results are compared
    with where nobody knows the truth is the recipe that takes nothing off.
    """

    def __init__(self, inner: Recipe) -> None:
        layer = merge(inner.recipe, {"preparations": {"noise": "auto"}}, registry=inner.registry)
        super().__init__(f"{inner.name}, noise auto", layer, inner.registry, inner.built)
        self._inner = inner

    @property
    def reference(self) -> Recipe:
        """The recipe without it."""
        return self._inner


class Cascade(Row):
    """A recipe that is given two images at a time: the first two, then the result and the next.

    The order matters, and nobody knows the best one: the reverse one is there too.
    """

    def __init__(self, inner: Recipe, backwards: bool = False) -> None:
        super().__init__(f"{inner.name}, pair by pair{', backwards' if backwards else ''}")
        self._inner, self._backwards = inner, backwards

    @property
    def code(self) -> str:
        """The recipe's."""
        return self._inner.code

    def record(self, scene: BenchScene) -> dict[str, Any]:
        """Return the recipe's, and the order where it is not the given one."""
        order = {"backwards": True} if self._backwards else {}
        return {"cascade": self._inner.record(scene), **order}

    def fuse(self, scene: BenchScene, made: Made) -> Fusion:
        """Fuse pair by pair; intermediate images have 8 bits, as files would."""
        fused, *rest = made.sources[::-1] if self._backwards else made.sources
        seconds = nfe = 0.0
        for source in rest:
            step = self._inner.fuse(scene, replace(made, sources=(fused, source)))
            fused = step.pixels
            seconds, nfe = seconds + (step.seconds or 0), nfe + (step.nfe or 0)
        return Fusion(fused, seconds, nfe)
