"""What tests want by the thousand, each time the same: the plugins that are installed."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Hashable
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

from fusionkit import PluginInfo, Provided
from fusionkit.host import plugins
from fusionkit.host.collecting import Collector


def remember_plugins() -> None:
    """Look for plugins, and register fusionkit's own, once in this process.

    That was a quarter of what it takes to run a small command. It is done anew where sys.path is
    another, a folder on it has changed, or a plugin has other hooks.
    """
    search, add = plugins.installed_plugins, Collector.add
    found: dict[Hashable, list[EntryPoint]] = {}
    collected: dict[Hashable, list[Provided]] = {}

    def installed_plugins() -> list[EntryPoint]:
        state = (importlib.metadata.entry_points, *map(_state, sys.path))
        if state not in found:
            found[state] = search()
        return list(found[state])

    def add_once(self: Collector, plugin: Any, info: PluginInfo) -> list[Provided]:
        if info.distribution != plugins.DISTRIBUTION or not isinstance(plugin, ModuleType):
            return add(self, plugin, info)
        hooks = tuple(v for name, v in vars(plugin).items() if name.startswith("fusionkit_"))
        key = (info.name, info.origin, hooks)
        if key not in collected:
            collected[key] = add(self, plugin, info)
        return list(collected[key])

    plugins.installed_plugins = installed_plugins  # type: ignore[assignment]
    Collector.add = add_once  # type: ignore[method-assign]


def _state(path: str) -> tuple[str, int]:
    place = os.path.abspath(path)
    try:
        return place, os.stat(place).st_mtime_ns
    except OSError:
        return place, 0
