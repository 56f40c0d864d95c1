"""Recipes by name or file: those that come with fusionkit, those of plugins, and people's own."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..contract.kinds import KINDS
from ..contract.options import specs, suggest
from ..contract.preparation import PREPARATION
from ..contract.recipe import RECIPE, Recipe
from ..contract.registry import Provided, Registry
from ..errors import UsageError
from .builtin import PLUGIN, fusionkit_recipes
from .preparing import PREPARATIONS, preparation_table
from .settings import Settings

RECIPE_KINDS = tuple(kind for kind in KINDS if kind.in_recipes)
DEFAULT_TASK = "general"
AUTO = "auto"
"""Instead of a task's name: it is decided from the sources (:mod:`.deciding`)."""
METRICS = "metrics"
"""The key of a recipe that says how results are measured: no setting, as no pixel comes of it."""
Layer = Mapping[str, Any]
GROUPS = {kind.group: kind for kind in RECIPE_KINDS}


@dataclass(frozen=True)
class Origin:
    """Who says a layer of a recipe.

    Attributes
    ----------
    text
        As it goes into help texts: ``from task general``, ``as given``.
    by_hand
        Whether somebody chose what is in it for this run. Not so of a task, nor of a record,
        which spells out all there is.
    """

    text: str = ""
    by_hand: bool = False


GIVEN = Origin("as given", by_hand=True)


class Said(dict[str, Any]):
    """A recipe layer that knows where it comes from.

    Attributes
    ----------
    origin
        Who says it.
    folder
        What paths in it are relative to.
    weights
        Of a record: the SHA-256 of the weights that components had, by group, or by what a
        preparation is called; of what an option names in the place of one, ``weighting.prior``.
    objects
        The groups of components that are given beside it, built, and so have no table in it.
    """

    def __init__(
        self,
        content: Layer,
        origin: Origin,
        folder: Path | None = None,
        weights: Mapping[str, str] | None = None,
        objects: Collection[str] = (),
    ) -> None:
        super().__init__(content)
        self.origin = origin
        self.folder = folder
        self.weights = weights or {}
        self.objects = objects


def tasks() -> tuple[str, ...]:
    """Return the names of the recipes that come with fusionkit."""
    return tuple(sorted(recipe.name for recipe in fusionkit_recipes()))


def task_recipe(name: str) -> Said:
    """Return the recipe of a task; raise UsageError with suggestions if there is none."""
    ours = {recipe.name: recipe for recipe in fusionkit_recipes()}
    if name not in ours:
        hint = suggest(name, ours) or f" There are {', '.join(sorted(ours))}."
        raise UsageError(f"unknown task {name!r}.{hint}")
    return Said(_parsed(text_of(ours[name]), f"recipe {name}"), Origin(f"from task {name}"))


def named_recipe(name: str, registry: Registry) -> Said:
    """Return the recipe that a plugin provides under a name, or ``provider:name``.

    Raises
    ------
    UsageError
        Nobody provides it, several do, or it is no recipe.
    """
    if not registry.all(RECIPE) and PLUGIN not in {plugin.name for plugin in registry.plugins}:
        return task_recipe(name)  # of a registry made by hand
    provided = registry.find(RECIPE, name)
    if provided.plugin.name == PLUGIN:
        return task_recipe(provided.component.name)
    recipe: Recipe = provided.component
    try:
        content = _parsed(text_of(recipe), provided.label)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{provided.label} cannot be read: {error}") from None
    _qualify(content, provided, registry)
    folder = recipe.source.absolute().parent if isinstance(recipe.source, Path) else None
    return Said(content, Origin(f"from recipe {provided.qualified}"), folder)


def _qualify(recipe: dict[str, Any], provider: Provided, registry: Registry) -> None:
    """Let bare names mean the components of the plugin that the recipe comes from, if it has them.

    What a plugin is called depends on how it is loaded, and another may have such names too.
    """
    for group, kind in GROUPS.items():
        if group in recipe:
            table = table_of(group, recipe[group])
            own = f"{provider.plugin.name}:{table.get('name')}"
            if registry.named(kind, own) is not None:
                recipe[group] = {**table, "name": own}
    for called, value in (tables := dict(recipe.get(PREPARATIONS, {}))).items():
        named = value.get("name", called) if isinstance(value, Mapping) else called
        own = f"{provider.plugin.name}:{named}"
        if registry.named(PREPARATION, own) is not None and value is not False:
            tables[called] = {**(preparation_table(own, value, registry) or {}), "name": own}
            recipe[PREPARATIONS] = tables


def text_of(recipe: Recipe) -> str:
    """Return the TOML text of a recipe."""
    source = recipe.source
    return source.read_text("utf-8") if isinstance(source, Path) else source


def read_recipe(path: str | Path) -> Said:
    """Read a recipe from a TOML file, or out of the JSON record of a run.

    Raises
    ------
    UsageError
        The file is missing, or is neither TOML nor a record.
    """
    try:
        text = Path(path).read_text("utf-8-sig")  # some editors begin a file with a mark
    except FileNotFoundError:
        raise UsageError(f"recipe {path} does not exist") from None
    except UnicodeDecodeError:
        raise UsageError(
            f"recipe {path} cannot be read: it is no text in UTF-8: save it so"
        ) from None
    except OSError as error:
        raise UsageError(f"recipe {path} cannot be read: {error.strerror}") from None
    record = Path(path).suffix == ".json"
    label = f"recipe {path}"
    content = _loaded(text, label, json.loads if record else tomllib.loads)
    what = "record" if record else "recipe"
    origin = Origin(f"from {what} {Path(path).name}", by_hand=not record)
    folder = Path(path).absolute().parent
    return Said(_recipe_in(content, label), origin, folder, _weights_in(content))


def _parsed(text: str, label: str) -> dict[str, Any]:
    """Return the recipe that a text in TOML holds."""
    return _recipe_in(_loaded(text, label, tomllib.loads), label)


def _loaded(text: str, label: str, loads: Callable[[str], Any]) -> Any:
    try:
        return loads(text)
    except RecursionError:
        raise UsageError(f"{label} is not valid: its brackets are nested too deep") from None
    except ValueError as error:  # of the syntax, and of numbers with thousands of digits
        raise UsageError(f"{label} is not valid: {error}") from None


def _recipe_in(content: Any, label: str) -> dict[str, Any]:
    """Return the recipe that is the content of a file, or in it if that is a record."""
    recipe = content.get("recipe", content) if isinstance(content, dict) else None
    if not isinstance(recipe, dict):
        raise UsageError(f"{label} holds no recipe: expected a JSON object")
    if METRICS in content:  # of a record, beside its recipe
        recipe = {**recipe, METRICS: content[METRICS]}
    known = [*(spec.name for spec in specs(Settings)), *GROUPS, PREPARATIONS, METRICS]
    for key in recipe:
        if key.replace("_", "-") not in known:
            raise UsageError(f"{label}: unknown key {key!r}.{suggest(key, known)}")
    said = recipe.get(METRICS, "")
    several = isinstance(said, list) and said and all(isinstance(name, str) for name in said)
    if not several and not isinstance(said, str):
        raise UsageError(f"{label}: metrics is a preset, or a list of metrics, not {said!r}")
    return recipe


def _weights_in(record: Any) -> dict[str, str]:
    """Return the hashes of the weights that a record names, by component."""
    components = record.get("components") if isinstance(record, Mapping) else None
    found = {}
    for name, entry in components.items() if isinstance(components, Mapping) else ():
        inner = entry.items() if isinstance(entry, Mapping) else ()
        for called, each in ((name, entry), *((f"{name}.{key}", value) for key, value in inner)):
            said = each.get("weights_sha256") if isinstance(each, Mapping) else None
            if isinstance(said, str):
                found[called] = said
    return found


def base_layers(
    task: str | None = None,
    recipe: str | Path | Layer | None = None,
    registry: Registry | None = None,
) -> list[Layer]:
    """Return what a run begins with: the default task, and a recipe by name or file over it.

    Parameters
    ----------
    task
        The name of a recipe.
    recipe
        Such a name, the path of a file, or a mapping: a recipe, or a whole record.
    registry
        Where names are looked up; without one, there are those that come with fusionkit.

    Raises
    ------
    UsageError
        Both are given, one does not exist or cannot be read, or the task is :data:`AUTO`.
    """
    if task is not None and recipe is not None:
        raise UsageError("give a task or a recipe, not both")
    if task == AUTO:
        raise UsageError(
            f"task {AUTO} is decided from images, which are not there yet: name one, "
            f"such as {DEFAULT_TASK}"
        )
    # A recipe may say only what it changes; the rest is the default task's.
    default = task_recipe(DEFAULT_TASK)
    found = Registry([], []) if registry is None else registry
    if isinstance(recipe, Mapping):
        return [default, _of_record(recipe) if "recipe" in recipe else recipe]
    if recipe is not None and _is_file(recipe):
        return [default, read_recipe(recipe)]
    name = task if recipe is None else str(recipe)
    return [default] if name is None else [default, named_recipe(name, found)]


def _of_record(record: Mapping[str, Any]) -> Said:
    said = _recipe_in(dict(record), "the record")
    return Said(said, Origin("from the record"), weights=_weights_in(record))


def leaves_task(said: Mapping[str, Any]) -> bool:
    """Whether what somebody says for a run leaves the task to be decided from the images.

    That is so if neither task, recipe, weighting nor objective is said: tasks differ in the last
    two, so that who says one of these has chosen.
    """
    chosen = [said.get(key) for key in ("recipe", "weighting", "objective")]
    return said.get("task") in (None, AUTO) and all(value is None for value in chosen)


def flags_called(name: str, registry: Registry) -> list[str]:
    """Return the flags of the components' options of a name: ``--sampler.eta`` of ``eta``."""
    found = {
        f"--{kind.group}.{name}"
        for kind in RECIPE_KINDS
        for provided in registry.all(kind)
        if name in [spec.name for spec in specs(provided.component.options)]
    }
    return sorted(found)


def _is_file(recipe: str | Path) -> bool:
    """Whether a recipe is given by its file rather than its name."""
    path = Path(recipe)
    named = path.suffix in (".toml", ".json") or path.name != str(recipe)
    return isinstance(recipe, Path) or named or path.is_file()


def table_of(group: str, value: Any) -> dict[str, Any]:
    """Return a component's table of a recipe, its keys hyphenated; a name alone is one, too."""
    if isinstance(value, str):
        return {"name": value}
    if not isinstance(value, Mapping):
        raise UsageError(f"recipe: {group} must be a name or a table, not {value!r}")
    return {key.replace("_", "-"): item for key, item in value.items()}
