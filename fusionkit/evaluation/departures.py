"""In what the recipes of two rows differ: in what the study is about, and in what else."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..recipes.finding import RECIPE_KINDS
from ..recipes.preparing import PREPARATIONS

_GROUPS = tuple(kind.group for kind in RECIPE_KINDS)

ROLE_CHANGES = {
    "target only": ("objective.strength",),
    "gaussian prior": ("estimator", "weighting.prior"),
    "fixed at the same NFE": ("weighting", "steps"),
}
"""What a baseline changes of its variant, beside the axes."""

RECIPES = "recipe"
"""The axis of whole recipes, which says of all values that they differ."""


@dataclass(frozen=True)
class Departure:
    """How a recipe differs from that of the reference.

    Values are pairs, the row's first, by flag: ``steps``, ``weighting`` for the component,
    ``weighting.window``.

    Attributes
    ----------
    named
        Where an axis of the study, or what kind of baseline it is, says so.
    others
        Where nothing says so: the comparison is of these too.
    own
        The options that the row's components have, and the reference's do not, with their values.
    """

    named: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    others: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)


def departure(
    recipe: Mapping[str, Any], reference: Mapping[str, Any], named: Collection[str]
) -> Departure:
    """Compare a resolved recipe with the reference's.

    Parameters
    ----------
    recipe, reference
        Resolved: every setting and option is spelled out.
    named
        The flags that the comparison is about.
    """
    found = Departure()
    mine, theirs = _flat(recipe), _flat(reference)
    for flag, value in mine.items():
        if flag == "seed":
            continue
        if flag not in theirs:
            found.own[flag] = value
        elif value != theirs[flag]:
            kind = found.named if {flag, RECIPES} & {*named} else found.others
            kind[flag] = (value, theirs[flag])
    return found


def named_flags(axes: Collection[str], role: str) -> set[str]:
    """Return the flags that the comparison of a row of some role is about."""
    return {*axes, *ROLE_CHANGES.get(role, ())}


def shown(value: Any) -> str:
    """Write a value as a flag takes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _flat(recipe: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in recipe.items():
        if key == PREPARATIONS:
            flat |= _flat_tables(value)
        elif key in _GROUPS and isinstance(value, Mapping):
            flat |= _flat_tables({key: value})
        else:
            flat[key] = value
    return flat


def _flat_tables(tables: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key if name == "name" else f"{key}.{name}": option
        for key, table in tables.items()
        for name, option in table.items()
    }
