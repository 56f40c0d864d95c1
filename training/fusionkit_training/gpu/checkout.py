"""The first-party plugins of a checkout that is not installed."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

from fusionkit.contract.registry import Registry
from fusionkit.host.plugins import GROUP, load_plugins
from fusionkit.recipes import builtin

PYPROJECT = Path(__file__).resolve().parents[3] / "pyproject.toml"


def first_party() -> Registry:
    """Load the plugins that the checkout's ``pyproject.toml`` names, whatever is installed.

    Raises
    ------
    PluginLoadError
        One of them failed.
    """
    with PYPROJECT.open("rb") as file:
        named = tomllib.load(file)["project"]["entry-points"][GROUP]
    modules = {builtin.PLUGIN: builtin.__name__, **named}
    points = [EntryPoint(name, module, GROUP) for name, module in modules.items()]
    return load_plugins(entry_points=points, strict=True)
