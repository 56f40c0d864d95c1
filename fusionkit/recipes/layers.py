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
(:func:`.finding.base_layers` and :func:`merged`, for everybody). A layer that names another
component drops the options of the one before, which are not its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..contract.kind import Kind
from ..contract.options import OptionSpec, from_mapping, specs, suggest, to_mapping
from ..contract.paths import recorded, said_in, verify
from ..contract.preparation import PREPARATION
from ..contract.registry import Provided, Registry
from ..errors import UsageError
from .finding import GROUPS, METRICS, Layer, Origin, Said, table_of
from .preparing import PREPARATIONS, flag_of, preparation_table, preparation_tables
from .settings import Settings

WITHOUT_TRAJECTORY = "samplers:direct"
"""What samples where nothing reads a trajectory, whatever sampler is chosen."""


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
    left_out
        Preparations that the last to speak of them does not want, by what they are called.
    weights
        What a record says of the weights of components (:attr:`.finding.Said.weights`) which are
        still those of the record, option by option.
    """

    recipe: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    metrics: str | list[str] = ""
    left_out: set[str] = field(default_factory=set)
    weights: dict[str, str] = field(default_factory=dict)


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


def merged(layers: Sequence[Layer], registry: Registry) -> Merged:
    """Merge recipe layers, later ones winning, key by key.

    The options of a component are those that the layers say for the same ``provider:name``.
    A name that nobody provides, or several do, stays as it is written: it is an error only if
    it is chosen in the end (:func:`choose`).
    """
    done = Merged()
    for layer in layers:
        said = layer if isinstance(layer, Said) else Said(layer, Origin())
        before = _tables(done.recipe)
        _give_way(done, {*GROUPS.keys() & layer.keys(), *said.objects}, registry)
        for key, value in layer.items():
            name = key.replace("_", "-")
            if name == METRICS:
                done.metrics = value
            elif name in GROUPS:
                _merge_table(done, GROUPS[name], value, registry, said)
            elif name == PREPARATIONS:
                _merge_preparations(done, value, registry, said)
            else:
                done.recipe[name] = value
                done.origins[name] = said.origin
        after = _tables(done.recipe)
        same = {name for name, table in after.items() if table == before.get(name)}
        done.weights = {
            name: digest for name, digest in done.weights.items() if name.partition(".")[0] in same
        }
        done.weights |= said.weights
    return done


def _tables(recipe: Layer) -> dict[str, Any]:
    """Return what a merged recipe says of each component and preparation."""
    groups = {group: recipe[group] for group in GROUPS if group in recipe}
    return {**groups, **preparation_tables(recipe)}


def merge(*layers: Layer, registry: Registry) -> dict[str, Any]:
    """Return the recipe that layers are as one; see :func:`merged`."""
    return merged(layers, registry).recipe


def _merge_table(done: Merged, kind: Kind, value: Any, registry: Registry, said: Said) -> None:
    group = kind.group
    table = table_of(group, value)
    before = done.recipe.get(group, {})
    if "name" in table:
        table["name"] = registry.full_name(kind, table["name"])
        if table["name"] != before.get("name"):
            before = {}
            for key in [key for key in done.origins if key.startswith(f"{group}.")]:
                del done.origins[key]
    chosen = registry.named(kind, {**before, **table}.get("name"))
    done.recipe[group] = {**before, **_placed(table, chosen, said)}
    for option in table:
        done.origins[group if option == "name" else f"{group}.{option}"] = said.origin


def _give_way(done: Merged, groups: Collection[str], registry: Registry) -> None:
    """Drop the options so far that give way to components which the next layer speaks of."""
    for group, kind in GROUPS.items():
        table = done.recipe.get(group, {})
        chosen = registry.named(kind, table.get("name"))
        for spec in specs(chosen.component.options) if chosen else ():
            if spec.gives_way_to in groups and spec.name in table:
                done.recipe[group] = {key: table[key] for key in table if key != spec.name}
                done.origins.pop(f"{group}.{spec.name}", None)
                table = done.recipe[group]


def stand_ins(
    provided: Provided, table: Mapping[str, Any], registry: Registry
) -> dict[str, Provided]:
    """Return the components that options name in the place of a part of the run, by option."""
    found = {}
    for spec in specs(provided.component.options):
        kind = GROUPS.get(spec.gives_way_to)
        named = None if kind is None else registry.named(kind, table.get(spec.name))
        if named is not None:
            found[spec.name] = named
    return found


def _merge_preparations(done: Merged, value: Any, registry: Registry, said: Said) -> None:
    if not isinstance(value, Mapping):
        raise UsageError(f"recipe: {PREPARATIONS} is a table of them by name, not {value!r}")
    tables = dict(preparation_tables(done.recipe))
    for called, content in value.items():
        table = preparation_table(called, content, registry)
        before = tables.pop(called, {})
        if table is None or table["name"] != before.get("name"):
            before = {}
            for key in [key for key in done.origins if key.partition(".")[0] == called]:
                del done.origins[key]
        if table is None:
            done.left_out.add(called)
            continue
        done.left_out.discard(called)
        chosen = registry.find(PREPARATION, table["name"])
        tables[called] = {**before, **_placed(table, chosen, said)}
        for option in table:
            flag = called if option == "name" else flag_of(called, option, chosen)
            done.origins[flag] = said.origin
    done.recipe.pop(PREPARATIONS, None)
    if tables:
        done.recipe[PREPARATIONS] = tables


def _placed(table: dict[str, Any], chosen: Provided | None, said: Said) -> dict[str, Any]:
    """Return a table with the paths in it found from the folder of what says it."""
    if said.folder is None or chosen is None:
        return table
    paths = {spec.name for spec in _path_specs(chosen)} & set(table)
    return {**table, **{name: said_in(said.folder, table[name]) for name in paths}}


def _path_specs(provided: Provided) -> list[OptionSpec]:
    return [spec for spec in specs(provided.component.options) if spec.type is Path]


def choose(
    kind: Kind, table: Mapping[str, Any], registry: Registry, called: str | None = None
) -> Choice:
    """Find the component that a recipe table names, and validate its options.

    ``called`` is what its flags begin with, if that is not the kind's group.

    Raises
    ------
    UsageError
        There is no such component or option, a value is refused, a required option is not said,
        or a file that an option names is not there, or not the one that the recipe was recorded
        with.
    """
    options = dict(table)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise UsageError(f"recipe: [{kind.group}] must name a {kind.title}: name = ...")
    provided = registry.find(kind, name)
    for option, other in stand_ins(provided, options, registry).items():
        options[option] = other.qualified
    choice = Choice(provided, provided.make_options(options))
    for spec in _path_specs(provided):
        where = f"{kind.title} {provided.called}: {spec.name}"
        verify(options.get(spec.name), where, f"--{called or kind.group}.{spec.name}")
    provided.refuse_unsaid(choice.options)
    return choice


def choose_preparations(recipe: Mapping[str, Any], registry: Registry) -> dict[str, Choice]:
    """Find the preparations of a merged recipe, by what they are called, as :func:`choose` does."""
    return {
        called: choose(PREPARATION, table, registry, called)
        for called, table in preparation_tables(recipe).items()
    }


def check_for_sources(choices: Iterable[Choice], count: int, registry: Registry) -> None:
    """Have options say what does not fit so many sources, before anything is built.

    An options class may have a method ``check_sources(count, registry)`` for it.

    Raises
    ------
    UsageError
        One does not; the message begins with its flag, or with the component.
    """
    for choice in choices:
        check = getattr(choice.options, "check_sources", None)
        if check is not None:
            check(count, registry)


def resolve_preparations(recipe: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
    """Return the one key of a recipe that its preparations are under, resolved; empty for none."""
    return resolved(choose_preparations(recipe, registry))


def resolved(preparations: Mapping[str, Choice]) -> dict[str, Any]:
    """Return the one key of a recipe that chosen preparations are under; empty for none."""
    tables = {called: choice.as_table() for called, choice in preparations.items()}
    return {PREPARATIONS: tables} if tables else {}


def resolve_settings(layer: Layer) -> Settings:
    """Validate the settings of a merged recipe, naming an unknown key."""
    values = {key: value for key, value in layer.items() if key not in (*GROUPS, PREPARATIONS)}
    known = [*(spec.name for spec in specs(Settings)), *GROUPS, PREPARATIONS]
    for key in values:
        if key not in known:
            raise UsageError(f"unknown setting {key!r}.{suggest(key, known)}")
    return from_mapping(Settings, values, "settings")
