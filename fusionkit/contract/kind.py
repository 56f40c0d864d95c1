"""What a kind of component is: its names, and what its components must and may have."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from typing import Any

from .component import BuildContext, Component, Contribution
from .members import misspelt

SOURCE_SYMMETRIC = "source-symmetric"
"""Trait, of several kinds: the order of the sources does not matter (within rounding)."""


@dataclass(frozen=True)
class Kind:
    """A kind of component.

    Attributes
    ----------
    group
        Its flag, and its table in a recipe.
    title
        What messages call it.
    hook
        The hook that yields components of it.
    summary
        What they are, for the hook's description.
    record
        What its hook yields.
    protocol
        What the objects that its components build must do; of other records, nothing.
    optional
        The members that such an object may have besides.
    traits
        What a component of it may promise.
    in_recipes
        Whether a recipe chooses one.
    """

    group: str
    title: str
    hook: str
    summary: str
    record: type[Contribution] = Component
    protocol: type = object
    optional: frozenset[str] = frozenset()
    traits: frozenset[str] = frozenset()
    in_recipes: bool = False

    def mistake(self, record: Any) -> str:
        """Say what is wrong with a record of this kind; empty for nothing."""
        odd = sorted(getattr(record, "traits", self.traits) - self.traits)
        if odd:
            return f"declares the trait {', '.join(odd)}, which means nothing for a {self.title}"
        return ""

    def misspelt(self, built: Any) -> str:
        """Say which attribute of an object is a mistyped optional member; empty for none."""
        # ``compile``, which every build is given, is not ``compiled`` mistyped.
        return misspelt(built, self.optional, [known.name for known in fields(BuildContext)])


def members(base: type) -> frozenset[str]:
    """Return the members that a base class gives defaults for."""
    return frozenset(name for name, _ in inspect.getmembers(base) if not name.startswith("_"))
