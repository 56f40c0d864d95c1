"""Which components, with which options: what several commands ask for in the same flags."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..components import Provided, Registry
from ..errors import UsageError
from ..recipe import DEFAULT_TASK, RECIPE_KINDS, merge, read_recipe, task_recipe, tasks
from .arguments import (
    Parser,
    add_component_flags,
    add_setting_flags,
    given_options,
    given_settings,
    load_plugins_from,
    refuse_unselected,
)


@dataclass(frozen=True)
class Selection:
    """The components that a command line selects, found before their own flags are parsed.

    Attributes
    ----------
    registry
        The plugins, loaded as the command line says.
    selected
        The component of each group.
    layers
        The recipe so far, in which the components' names are spelled in full.
    """

    registry: Registry
    selected: dict[str, Provided]
    layers: dict[str, Any]

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        """Add the flags that select, those of the selected components, and those of settings."""
        _add_names(parser)
        for provided in self.selected.values():
            add_component_flags(parser, provided)
        add_setting_flags(parser)

    def recipe(self, given: argparse.Namespace) -> dict[str, Any]:
        """Return the recipe of the parsed command line."""
        tables = {
            kind.group: {
                "name": self.selected[kind.group].qualified,
                **given_options(given, kind),
            }
            for kind in RECIPE_KINDS
        }
        return merge(self.layers, given_settings(given), tables)


def select(arguments: Sequence[str], prog: str) -> Selection:
    """Load plugins and find the components, in a first pass that lets all else wait."""
    registry = load_plugins_from(arguments)
    layers = _first_pass(arguments, prog)
    selected = {
        kind.group: registry.find(kind, str(layers.get(kind.group, {}).get("name")))
        for kind in RECIPE_KINDS
    }
    refuse_unselected(arguments, selected, registry)
    # Names in full, so that later layers match them.
    tables = {
        group: {**layers.get(group, {}), "name": provided.qualified}
        for group, provided in selected.items()
    }
    return Selection(registry, selected, {**layers, **tables})


def _first_pass(arguments: Sequence[str], prog: str) -> dict[str, Any]:
    """Merge what selects components: task or recipe, then flags."""
    parser = Parser(prog=prog, add_help=False)
    _add_names(parser)
    known, _ = parser.parse_known_args(arguments)
    if known.task and known.recipe:
        raise UsageError("give --task or --recipe, not both")
    base = task_recipe(known.task or DEFAULT_TASK)
    if known.recipe:
        base = merge(base, read_recipe(known.recipe))
    named = {kind.group: getattr(known, kind.group) for kind in RECIPE_KINDS}
    return merge(base, {group: name for group, name in named.items() if name})


def _add_names(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to run")
    group.add_argument("--task", metavar="NAME", help=f"a recipe of ours: {', '.join(tasks())}")
    group.add_argument(
        "--recipe", metavar="FILE", help="a recipe (TOML), or the record of a run (JSON)"
    )
    for kind in RECIPE_KINDS:
        group.add_argument(
            f"--{kind.group}", metavar="NAME", help=f"the {kind.title}; see fusionkit plugins"
        )
