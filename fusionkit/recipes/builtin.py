"""The recipes of the tasks, which come with fusionkit: a plugin like any other.

Every TOML file of this folder is one. Its first line, a comment, says what it is for.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources

from ..contract.hooks import hookimpl
from ..contract.recipe import Recipe

PLUGIN = "tasks"
"""What this plugin is called: ``tasks:general``."""


@hookimpl
def fusionkit_recipes() -> Iterable[Recipe]:
    """Return the recipes of the tasks."""
    for entry in resources.files(__package__).iterdir():
        if entry.name.endswith(".toml"):
            text = entry.read_text("utf-8")
            summary = text.partition("\n")[0].removeprefix("#").strip().rstrip(".")
            yield Recipe(entry.name.removesuffix(".toml"), summary, text)
