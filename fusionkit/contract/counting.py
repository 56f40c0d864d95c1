"""Numbers of things, in words."""

from __future__ import annotations


def number_of(number: int, thing: str) -> str:
    """Return so many things: ``1 scene``, ``2 scenes``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
