"""Optional members of what plugins build: an attribute that is almost one of them is a mistake."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any

_ALIKE = 0.85
"""Of difflib's ratio: one letter too many, too few or wrong in a short word, two in a long one."""


def misspelt(built: Any, optional: Collection[str], others: Collection[str] = ()) -> str:
    """Say which attribute nobody reads, and what it should be called; empty if there is none.

    What the object inherits from other people's classes is not its author's spelling.

    Parameters
    ----------
    built
        The object.
    optional
        The members that it may have.
    others
        Names that are right, though they look like one of these.
    """
    for name in sorted(_own_names(built).difference(others, optional)):
        near = difflib.get_close_matches(name, optional, n=1, cutoff=_ALIKE)
        if near and not name.startswith("_") and not _says(built, near[0]):
            return (
                f"its {type(built).__name__} has an attribute {name!r}, which nothing reads. "
                f"Did you mean {near[0]}? Else call it something less like it"
            )
    return ""


def _says(built: Any, name: str) -> bool:
    """Whether an object has a member, beyond the default of a base class of ours."""
    if name in getattr(built, "__dict__", {}):
        return True
    owner = next((cls for cls in type(built).__mro__ if name in vars(cls)), None)
    return hasattr(built, name) and (
        owner is None or not owner.__module__.startswith(f"{__package__}.")
    )


def _own_names(built: Any) -> set[str]:
    """Return the names set on an object, and in those of its classes that are of its package."""
    package = type(built).__module__.partition(".")[0]
    own = [cls for cls in type(built).__mro__ if cls.__module__.partition(".")[0] == package]
    return set(getattr(built, "__dict__", {})).union(*(vars(cls) for cls in own))
