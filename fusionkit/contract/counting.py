"""Numbers of things, in words."""

from __future__ import annotations


def number_of(number: int, thing: str) -> str:
    """Return so many things, in the plural of most words.

    Examples
    --------
    >>> number_of(1, "scene"), number_of(2, "scene")
    ('1 scene', '2 scenes')
    """
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
