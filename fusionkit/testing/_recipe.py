"""Flags of recipes: what can be said of one without the plugins that it names."""

from __future__ import annotations

from fusionkit.contract.registry import Registry
from fusionkit.errors import FusionkitError
from fusionkit.recipes.finding import named_recipe

from .checks import Subject


def is_valid(subject: Subject) -> None:
    """Check that it can be read, and has no keys but those of a recipe."""
    provided = subject.provided
    try:
        named_recipe(provided.qualified, Registry([provided.plugin], [provided]))
    except FusionkitError as error:
        subject.require(False, str(error))


CHECKS = (is_valid,)
