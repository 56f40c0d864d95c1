"""Recipes: which components with which options, as TOML, JSON or a dict.

A recipe is a mapping whose plain keys are settings and whose tables
``estimator``, ``weighting`` and ``objective`` name a component and its options::

    steps = 10
    start-at = 0.6

    [weighting]
    name = "dig"
    window = 11

Layers are merged: the defaults, a task or a file, then what the caller says. A layer that
names another component drops the options of the one before, which are not its own.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from .components import ESTIMATOR, OBJECTIVE, WEIGHTING, Kind, Provided, Registry
from .errors import UsageError
from .options import from_mapping, specs, suggest, to_mapping
from .settings import Settings

RECIPE_KINDS = (ESTIMATOR, WEIGHTING, OBJECTIVE)
DEFAULT_TASK = "general"
Layer = Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """A component chosen by name, with its options resolved."""

    provided: Provided
    options: Any

    def as_table(self) -> dict[str, Any]:
        """Return the recipe table that chooses it again."""
        return {"name": self.provided.qualified, **to_mapping(self.options)}


def tasks() -> tuple[str, ...]:
    """Return the names of the recipes that come with fusionkit."""
    folder = resources.files(__package__) / "recipes"
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def task_recipe(name: str) -> Layer:
    """Return the recipe of a task; raise UsageError with suggestions if there is none."""
    if name not in tasks():
        hint = suggest(name, tasks()) or f" There are {', '.join(tasks())}."
        raise UsageError(f"unknown task {name!r}.{hint}")
    text = (resources.files(__package__) / "recipes" / f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)


def read_recipe(path: str | Path) -> Layer:
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
    try:
        content = json.loads(text) if Path(path).suffix == ".json" else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise UsageError(f"recipe {path} is not valid: {error}") from None
    recipe = content.get("recipe", content) if isinstance(content, dict) else None
    if not isinstance(recipe, dict):
        raise UsageError(f"recipe {path} holds no recipe: expected a JSON object")
    known = [*(spec.name for spec in specs(Settings)), *(kind.group for kind in RECIPE_KINDS)]
    for key in recipe:
        if key.replace("_", "-") not in known:
            raise UsageError(f"recipe {path}: unknown key {key!r}.{suggest(key, known)}")
    return recipe


def merge(*layers: Layer) -> dict[str, Any]:
    """Merge recipe layers, later ones winning, key by key; keys come out hyphenated."""
    merged: dict[str, Any] = {}
    groups = {kind.group for kind in RECIPE_KINDS}
    for layer in layers:
        for key, value in layer.items():
            name = key.replace("_", "-")
            if name not in groups:
                merged[name] = value
                continue
            table = _table(name, value)
            before = merged.get(name, {})
            merged[name] = {**before, **table} if _same(table, before) else table
    return merged


def _same(table: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether a table goes on choosing the component before: ``dig`` and ``dig:dig`` are one."""
    new, old = (str(t.get("name", before.get("name"))) for t in (table, before))
    if ":" in new and ":" in old:
        return new == old
    return new.rpartition(":")[2] == old.rpartition(":")[2]


def _table(group: str, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"name": value}
    if not isinstance(value, Mapping):
        raise UsageError(f"recipe: {group} must be a name or a table, not {value!r}")
    return {key.replace("_", "-"): item for key, item in value.items()}


def choose(kind: Kind, table: Mapping[str, Any], registry: Registry) -> Choice:
    """Find the component that a recipe table names, and validate its options."""
    options = dict(table)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise UsageError(f"recipe: [{kind.group}] must name a {kind.title}: name = ...")
    provided = registry.find(kind, name)
    return Choice(provided, provided.make_options(options))


def resolve_settings(layer: Layer) -> Settings:
    """Validate the settings of a merged recipe, naming an unknown key."""
    groups = [kind.group for kind in RECIPE_KINDS]
    values = {key: value for key, value in layer.items() if key not in groups}
    known = [*(spec.name for spec in specs(Settings)), *groups]
    for key in values:
        if key not in known:
            raise UsageError(f"unknown setting {key!r}.{suggest(key, known)}")
    return from_mapping(Settings, values, "settings")
