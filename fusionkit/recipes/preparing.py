"""The preparations of a recipe: ``[preparations.NAME]``, a table of options for each.

In short, ``[preparations]`` may say ``NAME = VALUE``, VALUE that of its first option, true for
its defaults, or false to leave out what an earlier layer asks for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from ..contract.options import OptionSpec, specs
from ..contract.preparation import PREPARATION
from ..contract.registry import Provided, Registry
from ..errors import UsageError
from .settings import Settings

PREPARATIONS = "preparations"
"""The key of a recipe whose tables are preparations, by name."""

RESTORES_SIZE = "restoration:observe"
"""What makes of a source of fewer pixels one of the common grid, where nothing else is asked."""

Made: TypeAlias = Mapping[str, Mapping[str, Any]]
"""The tables of the preparations of a run, by what they are called."""

NOTHING_MADE: Made = {}

MATCHES = "preparations:match"
"""What makes frames equally bright: they are no exposures to be fused, then."""


def matches(tables: Made) -> bool:
    """Whether preparations, by what they are called, make frames equally bright."""
    made = [table for table in tables.values() if table["name"] == MATCHES]
    return any(table.get("mode") != "none" for table in made)


def described(tables: Made) -> frozenset[int]:
    """Return the sources, from 0, of which is said that they are noisy or have holes."""
    texts = [
        text
        for table in tables.values()
        if table["name"] == RESTORES_SIZE
        for text in re.split(r",\s*(?=\d+\s*:)", ",".join(map(str, table.get("chains", ()))))
    ]
    said = [text.partition(":") for text in texts if re.search(r"[:,]\s*(mask|noise)\b", text)]
    return frozenset(int(number) - 1 for number, _, _ in said if number.strip().isdecimal())


def first_option(provided: Provided) -> OptionSpec | None:
    """Return the option that ``--NAME VALUE`` sets; None for a preparation without options."""
    found = specs(provided.component.options)
    return found[0] if found else None


def flag_of(called: str, option: str, provided: Provided) -> str:
    """Return the flag of an option, without its hyphens: ``NAME`` of the first, ``NAME.OPTION``."""
    first = first_option(provided)
    return called if first is not None and option == first.name else f"{called}.{option}"


def preparation_table(called: str, value: Any, registry: Registry) -> dict[str, Any] | None:
    """Return the table that a value under ``[preparations]`` stands for; None leaves it out.

    Keys are hyphenated, and ``name`` is ``provider:name``.

    Raises
    ------
    UsageError
        There is no such preparation, or it has no option that the value could be of.
    """
    if value is False:
        return None
    table: dict[str, Any] = {}
    if isinstance(value, Mapping):
        table = {key.replace("_", "-"): item for key, item in value.items()}
    provided = registry.find(PREPARATION, str(table.get("name", called)))
    table["name"] = provided.qualified
    if isinstance(value, Mapping) or value is True:
        return table
    spec = first_option(provided)
    if spec is None:
        raise UsageError(f"preparation {called} has no options: it is true or false, not {value!r}")
    table[spec.name] = [value] if spec.many and not isinstance(value, (list, tuple)) else value
    return table


def preparation_tables(recipe: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the tables of a merged recipe's preparations, by what they are called."""
    tables: dict[str, dict[str, Any]] = recipe.get(PREPARATIONS, {})
    return tables


def with_preparations(given: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
    """Move what is called as a preparation, and is no setting, to the preparations."""
    known = {provided.component.name for provided in registry.all(PREPARATION)}
    known -= {spec.name for spec in specs(Settings)}
    named = {key: value for key, value in given.items() if key.replace("_", "-") in known}
    if not named:
        return dict(given)
    rest = {key: value for key, value in given.items() if key not in named}
    said = {key.replace("_", "-"): value for key, value in named.items()}
    return {**rest, PREPARATIONS: {**rest.get(PREPARATIONS, {}), **said}}
