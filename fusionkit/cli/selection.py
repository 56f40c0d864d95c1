"""Which components, with which options: what several commands ask for in the same flags."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..contract.options import specs, suggest
from ..contract.registry import Provided, Registry
from ..contract.sampler import SAMPLER
from ..errors import UsageError
from ..recipes.finding import (
    AUTO,
    DEFAULT_TASK,
    GIVEN,
    RECIPE_KINDS,
    Layer,
    Said,
    base_layers,
    leaves_task,
    tasks,
)
from ..recipes.layers import WITHOUT_TRAJECTORY, Merged, merged
from .arguments import (
    Parser,
    add_component_flags,
    add_setting_flags,
    given_options,
    given_settings,
    load_plugins_from,
)
from .preparations import add_preparation_flags, given_preparations
from .unknown import refuse_unselected

if TYPE_CHECKING:
    from ..host.pipeline import Pipeline

_GROUPS = tuple(kind.group for kind in RECIPE_KINDS)


@dataclass(frozen=True)
class Selection:
    """What a command line selects, known before the command's own flags are parsed.

    Attributes
    ----------
    registry
        The plugins, loaded as the command line says.
    selected
        The component of each group.
    merged
        The recipe of the whole command line, and where each value comes from.
    given
        Those layers of it that the command line itself says.
    may_decide, decides
        Whether the task can be left to be decided from the images, and whether it is; until then
        it is the default.
    """

    registry: Registry
    selected: dict[str, Provided]
    merged: Merged
    given: tuple[Layer, ...] = ()
    may_decide: bool = False
    decides: bool = False

    def of_task(self, name: str) -> Selection:
        """Return what the same command line selects once its task is decided."""
        layers = [*base_layers(name, registry=self.registry), *self.given]
        found = merged(layers, self.registry)
        return replace(self, selected=_selected(found, self.registry), merged=found)

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe of the command line."""
        return self.merged.recipe

    def idle(self, pipeline: Pipeline, strict: bool) -> list[str]:
        """Return what was given and cannot change the result, and why: a line for each reason.

        Raises
        ------
        UsageError
            There is something, and ``strict`` is true.
        """
        from ..host.idle import complaints

        found = complaints(pipeline, self.merged.origins)
        if strict and found:
            raise UsageError("; ".join(found))
        return found

    def add_flags(self, parser: Parser) -> None:
        """Add the flags that select, those of the selected components, and those of settings."""
        parser.registry = self.registry
        _add_names(parser, self)
        for provided in self.selected.values():
            add_component_flags(parser, provided, self.merged)
        add_setting_flags(parser, self.merged)
        add_preparation_flags(parser, self.registry, self.merged)


def select(
    arguments: Sequence[str],
    prog: str,
    may_decide: bool = False,
    registry: Registry | None = None,
    taken: Collection[str] = (),
) -> Selection:
    """Load plugins, find the components, and read their options and the settings.

    Two passes, each of which lets wait what it does not know: which flags there are depends on
    the components. If it ``may_decide``, the task can be left to the images. A ``registry`` saves
    loading plugins again. ``taken`` are the flags of the command itself.
    """
    registry = load_plugins_from(arguments) if registry is None else registry
    names = _names(arguments, prog)
    task = None if may_decide and names["task"] == AUTO and not names["recipe"] else names["task"]
    base = base_layers(task, names["recipe"], registry)
    components = {kind.group: names[kind.group] for kind in RECIPE_KINDS if names[kind.group]}
    given_names = Said(components, GIVEN)
    chosen = merged([*base, given_names], registry)
    selected = _selected(chosen, registry)
    refuse_unselected(arguments, selected, registry)
    _refuse_foreign(chosen, selected)
    found = Selection(registry, selected, chosen)
    parser = Parser(taken, prog=prog, add_help=False)
    found.add_flags(parser)
    given, _ = parser.parse_known_args(arguments)
    tables = {kind.group: given_options(given, kind) for kind in RECIPE_KINDS}
    options = {group: table for group, table in tables.items() if table}
    said = {**given_settings(given), **options, **given_preparations(given)}
    by_hand = (given_names, Said(said, GIVEN))
    decides = may_decide and leaves_task({**names, **options})
    whole = merged([*base, *by_hand], registry)
    return Selection(registry, selected, whole, by_hand, may_decide, decides)


def _names(arguments: Sequence[str], prog: str) -> dict[str, str | None]:
    """Return the names of task, recipe and components among the flags."""
    parser = Parser(prog=prog, add_help=False)
    _add_names(parser)
    known, _ = parser.parse_known_args(arguments)
    return {name: getattr(known, name) for name in ("task", "recipe", *_GROUPS)}


def _selected(found: Merged, registry: Registry) -> dict[str, Provided]:
    return {
        kind.group: registry.find(kind, str(found.recipe.get(kind.group, {}).get("name")))
        for kind in RECIPE_KINDS
    }


def _refuse_foreign(chosen: Merged, selected: dict[str, Provided]) -> None:
    """Raise UsageError for an option that a recipe says and the component does not have."""
    for flag, origin in chosen.origins.items():
        group, dot, name = flag.partition(".")
        if not dot or group not in selected:  # of preparations, whoever chooses them says it
            continue
        own = [spec.name for spec in specs(selected[group].component.options)]
        if name not in own:
            hint = suggest(name, own) or (f" It has {', '.join(own)}." if own else " It has none.")
            label = selected[group].label
            raise UsageError(f"{label} has no option {name!r} (which comes {origin.text}).{hint}")


def _add_names(parser: argparse.ArgumentParser, selection: Selection | None = None) -> None:
    group = parser.add_argument_group("what to run")
    names, default = tasks(), DEFAULT_TASK
    if selection is not None and selection.may_decide:
        names = (AUTO, *names)
        default = f"{AUTO}, decided from the images; {DEFAULT_TASK} with --weighting or --objective"
    group.add_argument(
        "--task",
        metavar="NAME",
        help=f"a recipe by name: {', '.join(names)}, or a plugin's; see fusionkit recipes "
        f"(default: {default})",
    )
    group.add_argument(
        "--recipe",
        metavar="FILE",
        help="a recipe's file (TOML), the record of a run (JSON), or a recipe by name",
    )
    for kind in RECIPE_KINDS:
        here = "" if selection is None else _said_of_name(selection, kind.group)
        if kind is SAMPLER:
            here += f"; where nothing reads a trajectory, {WITHOUT_TRAJECTORY} runs instead"
        group.add_argument(
            f"--{kind.group}", metavar="NAME", help=f"the {kind.title}; see fusionkit plugins{here}"
        )


def _said_of_name(selection: Selection, group: str) -> str:
    chosen = selection.merged
    return f" ({chosen.recipe[group]['name']}, {chosen.origins[group].text})"
