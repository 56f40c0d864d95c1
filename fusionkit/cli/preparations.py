"""Preparations as flags: ``--NAME VALUE`` switches one on, VALUE its first option."""

from __future__ import annotations

import argparse
from typing import Any

from ..contract.options import OptionSpec, specs
from ..contract.preparation import PREPARATION
from ..contract.registry import Provided, Registry
from ..errors import UsageError
from ..recipes.layers import Merged
from ..recipes.preparing import PREPARATIONS, first_option, flag_of
from .arguments import Parser, add_value

_PREFIX = f"{PREPARATIONS}."


def by_flag(registry: Registry) -> dict[str, Provided]:
    """Return the preparations that a bare name means, by that name."""
    found = {provided.component.name for provided in registry.all(PREPARATION)}
    named = {name: registry.named(PREPARATION, name) for name in sorted(found)}
    return {name: provided for name, provided in named.items() if provided is not None}


def add_preparation_flags(parser: Parser, registry: Registry, chosen: Merged) -> None:
    """Add the flags of every preparation; one that is called as another flag has none."""
    group = parser.add_argument_group(
        "preparations", "what is made of the sources before they are fused; --no-NAME leaves it out"
    )
    for name, provided in by_flag(registry).items():
        if parser.knows(f"--{name}") or parser.knows(f"--no-{name}"):
            continue
        if first_option(provided) is None:
            group.add_argument(
                f"--{name}",
                action="store_true",
                default=argparse.SUPPRESS,
                dest=f"{_PREFIX}{name}",
                help=provided.component.summary,
            )
        for spec in specs(provided.component.options):
            called = flag_of(name, spec.name, provided)
            add_value(
                group,
                f"--{called}",
                spec,
                chosen,
                f"{_PREFIX}{name}.{spec.name}",
                adds=spec.many,
                default="none" if called == name else None,  # without it nothing is prepared
            )
        group.add_argument(
            f"--no-{name}",
            action="store_false",
            default=argparse.SUPPRESS,
            dest=f"{_PREFIX}{name}",
            help=argparse.SUPPRESS,
        )


def given_preparations(namespace: argparse.Namespace) -> dict[str, Any]:
    """Return what flags say of preparations, as a recipe has it: empty, or the one key."""
    said: dict[str, Any] = {}
    values = {key: value for key, value in vars(namespace).items() if key.startswith(_PREFIX)}
    for key, value in values.items():
        name, dot, option = key.removeprefix(_PREFIX).partition(".")
        if not dot:
            said[name] = value and said.get(name, True)
        elif said.get(name) is not False:
            table = said[name] if isinstance(said.get(name), dict) else {}
            said[name] = {**table, option: value}
    return {PREPARATIONS: said} if said else {}


def taken_from_axes(axes: dict[str, list[str]], registry: Registry) -> dict[str, Any]:
    """Take preparations out of the axes of a study, which they are none of, as a recipe has them.

    Raises
    ------
    UsageError
        A value is refused, or there are several of an option that is no list.
    """
    said: dict[str, Any] = {}
    known = by_flag(registry)
    for axis in [axis for axis in axes if axis.partition(".")[0] in known]:
        name, _, option = axis.partition(".")
        texts = axes.pop(axis)
        spec = _spec(known[name], option)
        if spec is None:
            raise UsageError(f"--{axis}: preparation {name} has no such option")
        if len(texts) > 1 and not spec.many:
            raise UsageError(f"--{axis} is no axis: give one value")
        try:
            value = spec.parse(",".join(texts))
        except ValueError as error:
            raise UsageError(f"--{axis} {error}") from None
        said.setdefault(name, {})[spec.name] = value
    return {PREPARATIONS: said} if said else {}


def _spec(provided: Provided, option: str) -> OptionSpec | None:
    if not option:
        return first_option(provided)
    found = {spec.name: spec for spec in specs(provided.component.options)}
    return found.get(option)
