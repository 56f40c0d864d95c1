"""Which components, with which options: what several commands ask for in the same flags."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..contract.options import specs, suggest
from ..contract.registry import Provided, Registry
from ..errors import UsageError
from ..recipes.finding import DEFAULT_TASK, GIVEN, RECIPE_KINDS, Layer, Said, base_layers, tasks
from ..recipes.layers import Merged, merged
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
    """

    registry: Registry
    selected: dict[str, Provided]
    merged: Merged

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe of the command line."""
        return self.merged.recipe

    def report_idle(self, pipeline: Pipeline, strict: bool, quiet: bool) -> None:
        """Say on stderr what was given and cannot change the result.

        Raises
        ------
        UsageError
            There is something, and ``strict`` is true.
        """
        from ..host.idle import complaints

        found = complaints(pipeline, self.merged.origins)
        if strict and found:
            raise UsageError("; ".join(found))
        for complaint in () if quiet else found:
            print(f"fusionkit: warning: {complaint}", file=sys.stderr)

    def add_flags(self, parser: Parser) -> None:
        """Add the flags that select, those of the selected components, and those of settings."""
        parser.registry = self.registry
        _add_names(parser, self.merged)
        for provided in self.selected.values():
            add_component_flags(parser, provided, self.merged)
        add_setting_flags(parser, self.merged)
        add_preparation_flags(parser, self.registry, self.merged)


def select(arguments: Sequence[str], prog: str) -> Selection:
    """Load plugins, find the components, and read their options and the settings.

    Two passes, each of which lets wait what it does not know: which flags there are depends on
    the components.
    """
    registry = load_plugins_from(arguments)
    layers = _named(arguments, prog, registry)
    chosen = merged(layers, registry)
    selected = {
        kind.group: registry.find(kind, str(chosen.recipe.get(kind.group, {}).get("name")))
        for kind in RECIPE_KINDS
    }
    refuse_unselected(arguments, selected, registry)
    _refuse_foreign(chosen, selected)
    found = Selection(registry, selected, chosen)
    parser = Parser(prog=prog, add_help=False)
    found.add_flags(parser)
    given, _ = parser.parse_known_args(arguments)
    tables = {kind.group: given_options(given, kind) for kind in RECIPE_KINDS}
    options = {group: table for group, table in tables.items() if table}
    said = {**given_settings(given), **options, **given_preparations(given)}
    layers.append(Said(said, GIVEN))
    return Selection(registry, selected, merged(layers, registry))


def _named(arguments: Sequence[str], prog: str, registry: Registry) -> list[Layer]:
    """Return the layers that select components: task or recipe, then the names among the flags."""
    parser = Parser(prog=prog, add_help=False)
    _add_names(parser)
    known, _ = parser.parse_known_args(arguments)
    names = {kind.group: getattr(known, kind.group) for kind in RECIPE_KINDS}
    given = {group: name for group, name in names.items() if name}
    return [*base_layers(known.task, known.recipe, registry), Said(given, GIVEN)]


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


def _add_names(parser: argparse.ArgumentParser, chosen: Merged | None = None) -> None:
    group = parser.add_argument_group("what to run")
    group.add_argument(
        "--task",
        metavar="NAME",
        help=f"a recipe by name: {', '.join(tasks())}, or a plugin's; see fusionkit recipes "
        f"(default: {DEFAULT_TASK})",
    )
    group.add_argument(
        "--recipe",
        metavar="FILE",
        help="a recipe's file (TOML), the record of a run (JSON), or a recipe by name",
    )
    for kind in RECIPE_KINDS:
        here = "" if chosen is None else _said_of_name(chosen, kind.group)
        group.add_argument(
            f"--{kind.group}", metavar="NAME", help=f"the {kind.title}; see fusionkit plugins{here}"
        )


def _said_of_name(chosen: Merged, group: str) -> str:
    return f" ({chosen.recipe[group]['name']}, {chosen.origins[group].text})"
