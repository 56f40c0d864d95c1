"""First-party plugin: published methods as recipes, with what they cite.

NAME.toml is the recipe, whose first line says what it is, and NAME.bib what to cite.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources

from fusionkit import Recipe, hookimpl

NAMES = ("dig2dig", "dig2dig-scaled", "ddfm", "ccf")


@hookimpl
def fusionkit_recipes() -> Iterable[Recipe]:
    """Return the recipes of published methods."""
    folder = resources.files(__package__)
    for name in NAMES:
        text = (folder / f"{name}.toml").read_text("utf-8")
        summary = text.partition("\n")[0].removeprefix("#").strip().rstrip(".")
        yield Recipe(name, summary, text, (folder / f"{name}.bib").read_text("utf-8"))
