"""Recipes: compositions that have a name, such as those of the tasks and of published methods."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .component import Contribution
from .kind import Kind


@dataclass(frozen=True)
class Recipe(Contribution):
    """A recipe by name, for ``--task`` and ``--recipe``.

    Attributes
    ----------
    source
        The path of a TOML file, or the TOML text itself. It may say only what it changes: the
        rest is the default task's. A component is named in full, ``provider:name``; a bare name
        is one of the plugin's own, if it has one of that name. Beside settings (such as
        ``chroma``, the colour rule) and components it may have ``metrics``, the preset, or a list
        of metrics, that results are measured by.
    citation
        What to cite, as BibTeX; empty for nothing.
    """

    source: Path | str
    citation: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.source, (Path, str)):
            raise TypeError(f"recipe {self.name}: its source is a Path, or the text itself")


RECIPE = Kind(
    group="recipe",
    title="recipe",
    hook="fusionkit_recipes",
    summary="compositions for a task, or of a published method",
    record=Recipe,
)
"""The kind of recipes."""
