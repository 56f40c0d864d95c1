"""Recipes: which components with which options, as TOML, JSON or a dict.

A recipe is a mapping whose plain keys are settings and whose tables
``estimator``, ``weighting`` and ``objective`` name a component and its options::

    steps = 10
    start-sigma = 2.0
    metrics = "multi-focus"

    [weighting]
    name = "dig:dig"
    window = 11

Layers are merged: the default task, another recipe by its name or file, then what the caller says
(:func:`base_layers` and :func:`merged`, for everybody). A layer that names another component
drops the options of the one before, which are not its own.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..contract.kind import Kind
from ..contract.kinds import KINDS
from ..contract.options import OptionSpec, from_mapping, specs, suggest, to_mapping
from ..contract.paths import recorded, said_in, verify
from ..contract.recipe import RECIPE, Recipe
from ..contract.registry import Provided, Registry
from ..errors import UsageError
from .builtin import PLUGIN, fusionkit_recipes
from .settings import Settings

RECIPE_KINDS = tuple(kind for kind in KINDS if kind.in_recipes)
DEFAULT_TASK = "general"
WITHOUT_TRAJECTORY = "samplers:direct"
"""What samples where nothing reads a trajectory, whatever sampler is chosen."""
METRICS = "metrics"
"""The key of a recipe that says how results are measured: no setting, as no pixel comes of it."""
Layer = Mapping[str, Any]
_GROUPS = {kind.group: kind for kind in RECIPE_KINDS}


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
    """A recipe layer that knows its origin, and the folder that paths in it are relative to."""

    def __init__(self, content: Layer, origin: Origin, folder: Path | None = None) -> None:
        super().__init__(content)
        self.origin = origin
        self.folder = folder


@dataclass
class Merged:
    """Recipe layers as one.

    Attributes
    ----------
    recipe
        The merged recipe; keys are hyphenated, components are named ``provider:name``.
    origins
        Whose a value is, by its flag: ``steps``, ``weighting`` for the choice of the component,
        ``weighting.window``. What nobody says is not there, and keeps its default.
    metrics
        The preset, or the metrics, that results are to be measured by; empty if nobody says.
    """

    recipe: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    metrics: str | list[str] = ""


@dataclass(frozen=True)
class Choice:
    """A component chosen by name, with its options resolved."""

    provided: Provided
    options: Any

    def as_table(self) -> dict[str, Any]:
        """Return the recipe table that chooses it again; files that it names have their hash."""
        table = {"name": self.provided.qualified, **to_mapping(self.options)}
        for spec in _path_specs(self.provided):
            value = getattr(self.options, spec.field)
            table[spec.name] = [recorded(path) for path in value] if spec.many else recorded(value)
        return table


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
    if not registry.all(RECIPE):  # of a registry made by hand
        return task_recipe(name)
    provided = registry.find(RECIPE, name)
    if provided.plugin.name == PLUGIN:
        return task_recipe(provided.component.name)
    recipe: Recipe = provided.component
    try:
        content = _parsed(text_of(recipe), provided.label)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{provided.label} cannot be read: {error}") from None
    folder = recipe.source.absolute().parent if isinstance(recipe.source, Path) else None
    return Said(content, Origin(f"from recipe {provided.qualified}"), folder)


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
        text = Path(path).read_text("utf-8")
    except FileNotFoundError:
        raise UsageError(f"recipe {path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"recipe {path} cannot be read: {error}") from None
    record = Path(path).suffix == ".json"
    content = _parsed(text, f"recipe {path}", json.loads if record else tomllib.loads)
    what = "record" if record else "recipe"
    origin = Origin(f"from {what} {Path(path).name}", by_hand=not record)
    return Said(content, origin, Path(path).absolute().parent)


def _parsed(text: str, label: str, loads: Callable[[str], Any] = tomllib.loads) -> dict[str, Any]:
    """Return the recipe that a text holds, or that the record does which it is."""
    try:
        content = loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise UsageError(f"{label} is not valid: {error}") from None
    recipe = content.get("recipe", content) if isinstance(content, dict) else None
    if not isinstance(recipe, dict):
        raise UsageError(f"{label} holds no recipe: expected a JSON object")
    if METRICS in content:  # of a record, beside its recipe
        recipe = {**recipe, METRICS: content[METRICS]}
    known = [*(spec.name for spec in specs(Settings)), *_GROUPS, METRICS]
    for key in recipe:
        if key.replace("_", "-") not in known:
            raise UsageError(f"{label}: unknown key {key!r}.{suggest(key, known)}")
    said = recipe.get(METRICS, "")
    several = isinstance(said, list) and said and all(isinstance(name, str) for name in said)
    if not several and not isinstance(said, str):
        raise UsageError(f"{label}: metrics is a preset, or a list of metrics, not {said!r}")
    return recipe


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
        Such a name, the path of a file, or a mapping.
    registry
        Where names are looked up; without one, there are those that come with fusionkit.

    Raises
    ------
    UsageError
        Both are given, or one does not exist or cannot be read.
    """
    if task is not None and recipe is not None:
        raise UsageError("give a task or a recipe, not both")
    # A recipe may say only what it changes; the rest is the default task's.
    default = task_recipe(DEFAULT_TASK)
    found = Registry([], []) if registry is None else registry
    if isinstance(recipe, Mapping):
        return [default, recipe]
    if recipe is not None and _is_file(recipe):
        return [default, read_recipe(recipe)]
    name = task if recipe is None else str(recipe)
    return [default] if name is None else [default, named_recipe(name, found)]


def _is_file(recipe: str | Path) -> bool:
    """Whether a recipe is given by its file rather than its name."""
    path = Path(recipe)
    named = path.suffix in (".toml", ".json") or path.name != str(recipe)
    return isinstance(recipe, Path) or named or path.is_file()


def merged(layers: Sequence[Layer], registry: Registry) -> Merged:
    """Merge recipe layers, later ones winning, key by key.

    The options of a component are those that the layers say for the same ``provider:name``.
    A name that nobody provides, or several do, stays as it is written: it is an error only if
    it is chosen in the end (:func:`choose`).
    """
    done = Merged()
    for layer in layers:
        said = layer if isinstance(layer, Said) else Said(layer, Origin())
        for key, value in layer.items():
            name = key.replace("_", "-")
            if name == METRICS:
                done.metrics = value
            elif name in _GROUPS:
                _merge_table(done, _GROUPS[name], value, registry, said)
            else:
                done.recipe[name] = value
                done.origins[name] = said.origin
    return done


def merge(*layers: Layer, registry: Registry) -> dict[str, Any]:
    """Return the recipe that layers are as one; see :func:`merged`."""
    return merged(layers, registry).recipe


def _merge_table(done: Merged, kind: Kind, value: Any, registry: Registry, said: Said) -> None:
    group = kind.group
    table = _table(group, value)
    before = done.recipe.get(group, {})
    if "name" in table:
        table["name"] = registry.full_name(kind, table["name"])
        if table["name"] != before.get("name"):
            before = {}
            for key in [key for key in done.origins if key.startswith(f"{group}.")]:
                del done.origins[key]
    done.recipe[group] = {**before, **table}
    chosen = registry.named(kind, done.recipe[group].get("name"))
    if said.folder is not None and chosen is not None:
        for spec in _path_specs(chosen):
            if spec.name in table:
                done.recipe[group][spec.name] = said_in(said.folder, table[spec.name])
    for option in table:
        done.origins[group if option == "name" else f"{group}.{option}"] = said.origin


def _path_specs(provided: Provided) -> list[OptionSpec]:
    return [spec for spec in specs(provided.component.options) if spec.type is Path]


def _table(group: str, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"name": value}
    if not isinstance(value, Mapping):
        raise UsageError(f"recipe: {group} must be a name or a table, not {value!r}")
    return {key.replace("_", "-"): item for key, item in value.items()}


def choose(kind: Kind, table: Mapping[str, Any], registry: Registry) -> Choice:
    """Find the component that a recipe table names, and validate its options.

    Raises
    ------
    UsageError
        There is no such component or option, a value is refused, or a file that an option names
        is not there, or not the one that the recipe was recorded with.
    """
    options = dict(table)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise UsageError(f"recipe: [{kind.group}] must name a {kind.title}: name = ...")
    provided = registry.find(kind, name)
    choice = Choice(provided, provided.make_options(options))
    for spec in _path_specs(provided):
        where = f"{kind.title} {provided.component.name}: {spec.name}"
        verify(options.get(spec.name), where, f"--{kind.group}.{spec.name}")
    return choice


def resolve_settings(layer: Layer) -> Settings:
    """Validate the settings of a merged recipe, naming an unknown key."""
    values = {key: value for key, value in layer.items() if key not in _GROUPS}
    known = [*(spec.name for spec in specs(Settings)), *_GROUPS]
    for key in values:
        if key not in known:
            raise UsageError(f"unknown setting {key!r}.{suggest(key, known)}")
    return from_mapping(Settings, values, "settings")
