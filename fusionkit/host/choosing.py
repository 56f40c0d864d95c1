"""What fuses a scene: one pipeline, or that of the task which is decided from the scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..contract.reading import reading_with
from ..imaging.sources import Source
from ..recipes.finding import AUTO, GIVEN, RECIPE_KINDS, Said, base_layers, leaves_task
from ..recipes.layers import merged, resolve_settings
from ..recipes.preparing import matches, preparation_tables, with_preparations
from ..recipes.settings import Settings, as_recipe_has_them
from .plugins import load_plugins
from .scene import Scene
from .spectral import load_scene

# Sources are read, and what is wrong with them is said, before torch takes seconds to import.
if TYPE_CHECKING:
    from .parts import Part
    from .pipeline import Pipeline

_COMPONENTS = tuple(kind.group for kind in RECIPE_KINDS)
_NO_SETTINGS = ("task", "recipe", *_COMPONENTS, "registry", "built", "cache")


class Choosing:
    """Pipelines for scenes, composed when first wanted; components that are built are shared.

    Parameters
    ----------
    pipeline
        What fuses all scenes, if it is composed already.
    how
        Else the arguments of :func:`fusionkit.compose`. If they leave the task open
        (:func:`.finding.leaves_task`), it is decided for each scene.
    """

    def __init__(self, pipeline: Pipeline | None, how: Mapping[str, Any]) -> None:
        self._given = pipeline
        self._registry = how.get("registry")
        self._how = dict(how)
        self._built: dict[str, Part] = {}
        self._by_task: dict[str | None, Pipeline] = {}
        self._decides = pipeline is None and leaves_task(how)

    def read(self, sources: Sequence[Source]) -> tuple[Scene, Pipeline]:
        """Read a scene, and return it with what fuses it."""
        if not self._decides:
            task = self._how.get("task")
            if task == AUTO and self._how.get("recipe") is None:  # a component is said
                task = None
            pipeline = self._composed(task)
            with reading_with(self._registry):
                tables = {name: part.table for name, part in pipeline.preparations.items()}
                return load_scene(sources, pipeline.settings, tables), pipeline
        settings, made = self._undecided
        with reading_with(self._registry):
            scene = load_scene(sources, settings, made)
        decision = scene.decided(matches(made))
        pipeline = self._composed(decision.task)
        return scene.of_task(decision, pipeline.settings), pipeline

    @cached_property
    def _undecided(self) -> tuple[Settings, Mapping[str, Mapping[str, Any]]]:
        """What a scene is read by before its task is known, and which preparations are made."""
        registry = load_plugins() if self._registry is None else self._registry
        self._how["registry"] = registry  # they are loaded once
        said = {name: value for name, value in self._how.items() if name not in _NO_SETTINGS}
        given = with_preparations(as_recipe_has_them(said), registry)
        layers = [*base_layers(registry=registry), Said(given, GIVEN)]
        recipe = merged(layers, registry).recipe
        return resolve_settings(recipe), preparation_tables(recipe)

    def _composed(self, task: str | None) -> Pipeline:
        if self._given is not None:
            return self._given
        if task not in self._by_task:
            from .composing import compose

            self._by_task[task] = compose(**{"built": self._built, **self._how, "task": task})
        return self._by_task[task]
