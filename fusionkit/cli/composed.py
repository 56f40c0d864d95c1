"""A command line's recipe, for one task: checked without building it, and composed when wanted."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..contract.options import to_mapping
from ..contract.preparation import PREPARATION
from ..errors import UsageError
from ..host.fingerprint import code_of_plugin, core_code
from ..host.saving import made_of
from ..recipes.finding import DEFAULT_TASK, METRICS, RECIPE_KINDS, tasks
from ..recipes.layers import (
    check_for_sources,
    choose,
    choose_preparations,
    resolve_settings,
    resolved,
)
from ..recipes.preparing import PREPARATIONS, RESTORES_SIZE
from ..sampling.levels import schedule_of
from .arguments import set_threads
from .selection import Selection

if TYPE_CHECKING:
    from ..host.parts import Part
    from ..host.pipeline import Pipeline


class Composed:
    """The recipe of a selection, spelled out; what is wrong with it shows when this is made.

    Attributes
    ----------
    settings, recipe
        The settings; the whole recipe, every value said.
    """

    def __init__(
        self, selection: Selection, given: argparse.Namespace, built: dict[str, Part]
    ) -> None:
        self._selection = selection
        self._given = given
        self._built = built
        self.settings = resolve_settings(selection.recipe)
        schedule_of(self.settings)
        if self.settings.device == "meta":
            raise UsageError("--device meta computes no image: auto, cpu, cuda, cuda:N or mps")
        self.recipe: dict[str, Any] = to_mapping(self.settings)
        registry = selection.registry
        preparations = choose_preparations(selection.recipe, registry)
        self._choices = list(preparations.values())
        for kind in RECIPE_KINDS:
            choice = choose(kind, selection.recipe.get(kind.group, {}), registry)
            self.recipe[kind.group] = choice.as_table()
            self._choices.append(choice)
        self.recipe |= resolved(preparations)

    def check_for(self, sources: int) -> None:
        """Raise UsageError for an option that does not fit the number of sources."""
        check_for_sources(self._choices, sources, self._selection.registry)

    @property
    def made(self) -> Mapping[str, Mapping[str, Any]]:
        """The tables of the preparations that are made, by what they are called."""
        made: Mapping[str, Mapping[str, Any]] = self.recipe.get(PREPARATIONS, {})
        return made

    @cached_property
    def pipeline(self) -> Pipeline:
        """The pipeline; components that another one has built are shared."""
        from ..host.composing import compose

        given, selection = self._given, self._selection
        set_threads(given.threads)
        left_out = dict.fromkeys(sorted(selection.merged.left_out), False)
        recipe = {
            **selection.recipe,
            METRICS: selection.merged.metrics,
            PREPARATIONS: {**selection.recipe.get(PREPARATIONS, {}), **left_out},
        }
        return compose(
            recipe=recipe, registry=selection.registry, built=self._built, cache=given.cache
        )

    def idle(self) -> list[str]:
        """Return what was given and cannot change the result; refuse it under ``--strict``."""
        return self._selection.idle(self.pipeline, self._given.strict)

    def other_weights(self) -> list[str]:
        """Return for which components the weights are not those of the record that is replayed."""
        from ..host.replaying import other_weights

        return other_weights(self.pipeline, self._selection.merged.weights)

    def expected(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the recipe that a record of this run would hold; some of it is found by running.

        That is the precision, which sampler takes the place of one without anything to do, and
        what restores sources of fewer pixels.
        """
        recipe = dict(self.recipe)
        if self.settings.precision == "auto":
            recipe["precision"] = record["recipe"].get("precision")
        if record.get("run", {}).get("target_only"):
            recipe["sampler"] = record["recipe"].get("sampler")
        asked = recipe.get(PREPARATIONS, {})
        for called, table in record["recipe"].get(PREPARATIONS, {}).items():
            if called not in asked and table == self._restoring:
                recipe[PREPARATIONS] = asked = {**asked, called: table}
        return recipe

    @cached_property
    def _restoring(self) -> dict[str, Any]:
        """The preparation that sources of fewer pixels get, as a record has it."""
        table = {"name": RESTORES_SIZE}
        return choose(PREPARATION, table, self._selection.registry).as_table()


class Recipes:
    """What a command line fuses by: its recipe, or that of each task which is decided.

    What is wrong with any of it shows when this is made.

    Attributes
    ----------
    default
        The recipe until a task is decided.
    decides
        Whether that is left to the images.
    given
        The flags.
    """

    def __init__(
        self, selection: Selection, given: argparse.Namespace, built: dict[str, Part]
    ) -> None:
        self._selection = selection
        self.given = given
        self._built = built
        self._codes: dict[str, str | None] = {}
        self.default = Composed(selection, given, built)
        self.decides = selection.decides
        self._tasks = {DEFAULT_TASK: self.default} if self.decides else {}

    def of_task(self, name: str) -> Composed:
        """Return the recipe of a task that was decided; the default's if that is its name."""
        if name not in self._tasks:
            self._tasks[name] = Composed(self._selection.of_task(name), self.given, self._built)
        return self._tasks[name]

    def made(self, record: dict[str, Any], sources: Sequence[str]) -> bool:
        """Whether a record is of this recipe, of these files, and of the code that is here.

        Raises
        ------
        UsageError
            A source cannot be read.
        """
        recipe = self._expected(record)
        return recipe is not None and self._of_code(record) and made_of(record, recipe, sources)

    def _expected(self, record: dict[str, Any]) -> dict[str, Any] | None:
        """Return the recipe that a record of this run would hold, None if none of this kind would.

        A task that was decided from the same sources is not decided again.
        """
        if not self.decides:
            return self.default.expected(record)
        task = record.get("task")
        name = task.get("name") if isinstance(task, dict) else None
        return self.of_task(name).expected(record) if name in tasks() else None

    def _of_code(self, record: dict[str, Any]) -> bool:
        """Whether the host and the plugins that made a result are those that are here."""
        components = record.get("components")
        if record.get("code") != core_code() or not isinstance(components, dict):
            return False
        return all(
            entry.get("code") == self._code(entry.get("plugin", ""))
            for entry in components.values()
        )

    def _code(self, name: str) -> str | None:
        """Return the hash of a plugin's code; None if it is not loaded."""
        if name not in self._codes:
            found = [each for each in self._selection.registry.plugins if each.name == name]
            loaded = found and found[0].status == "loaded"
            self._codes[name] = code_of_plugin(found[0]) if loaded else None
        return self._codes[name]
