"""Registering plugins with pluggy, one by one, and collecting what they contribute.

All are registered with one manager, which checks and calls their hooks. What goes wrong with a
plugin while it is registered or called takes that plugin out again, with all of its components.
"""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Iterable
from typing import Any

import pluggy

from ..contract.hooks import API, PROJECT, SPECS
from ..contract.kind import Kind
from ..contract.kinds import KINDS
from ..contract.registry import PluginInfo, Provided
from ..errors import FusionkitWarning

_MARK = f"{PROJECT}_impl"  # where pluggy's marker leaves its options
_PREFIX = f"{PROJECT}_"
MOST = 1000
"""What one hook of a plugin may give."""

_TYPO = 0.85
"""Of difflib's ratio, without the prefix: a name so near to a known hook is a slip."""


class _Manager(pluggy.PluginManager):
    """Looks at the marked functions of a plugin alone, not at what every object has."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        return super().parse_hookimpl_opts(plugin, name) if name in vars(plugin) else None


class Collector:
    """The plugin manager, and what has been collected with it."""

    def __init__(self) -> None:
        self._manager = _Manager(PROJECT)
        self._manager.add_hookspecs(SPECS)

    def add(self, plugin: Any, info: PluginInfo) -> list[Provided]:
        """Register a plugin, call its hooks, and return what it contributes.

        Raises
        ------
        Exception
            Whatever is wrong with it; nothing of it stays registered.
        """
        hooks = _Hooks(plugin)
        try:
            self._manager.register(hooks, name=info.name)
            self._check_pending(hooks, info, _api_of(plugin))
            return self._collect(hooks, info)
        except BaseException:
            if self._manager.has_plugin(info.name):
                self._manager.unregister(name=info.name)
            raise

    def _check_pending(self, hooks: _Hooks, info: PluginInfo, api: int) -> None:
        """Refuse a hook that nobody has specified, unless it is one of a newer host's.

        Raises
        ------
        TypeError
            It is nearly the name of one of ours, or the plugin asks for no newer host.
        """
        for caller in self._manager.get_hookcallers(hooks) or ():
            mine = [each for each in caller.get_hookimpls() if each.plugin is hooks]
            if any(each.wrapper or each.hookwrapper for each in mine):
                raise TypeError(f"{caller.name} wraps a hook: a plugin adds what is its own")
            if caller.has_spec() or all(each.optionalhook for each in mine):
                continue
            near = _nearest(caller.name)
            if near:
                raise TypeError(f"there is no hook {caller.name}: did you mean {near}?")
            if api <= API:
                known = ", ".join(kind.hook for kind in KINDS)
                raise TypeError(f"there is no hook {caller.name}: there are {known}")
            warnings.warn(
                f"plugin {info.name} ({info.source}): {caller.name} is a hook of API {api}, and "
                f"this fusionkit has API {API}: what it adds is left out; update fusionkit",
                FusionkitWarning,
                stacklevel=2,
            )

    def _collect(self, hooks: _Hooks, info: PluginInfo) -> list[Provided]:
        found: list[Provided] = []
        others = self._manager.get_plugins() - {hooks}
        for kind in KINDS:
            call = self._manager.subset_hook_caller(kind.hook, others)
            implemented = [each for each in call.get_hookimpls() if each.plugin is hooks]
            results = call()
            if len(results) < len(implemented):  # pluggy leaves None out
                raise TypeError(f"{kind.hook} returned None, not a list")
            for result in results:
                found += _checked(kind, result, info, found)
        return found


class _Hooks:
    """The marked functions of a plugin, as an object of its own.

    Two entry points may name one module: the manager takes no object twice.
    """

    def __init__(self, plugin: Any) -> None:
        for name in dir(plugin):
            if hasattr(inspect.getattr_static(plugin, name, None), _MARK):
                setattr(self, name, getattr(plugin, name))
            elif name.startswith(_PREFIX) and callable(getattr(plugin, name)):
                raise TypeError(f"{name} is not marked: put @fusionkit.hookimpl above it")


def _api_of(plugin: Any) -> int:
    """Return the API that a plugin is written for, if it says so by ``fusionkit_api = N``."""
    api = getattr(plugin, f"{_PREFIX}api", API)
    if not isinstance(api, int) or isinstance(api, bool) or api < 1:
        raise TypeError(f"{_PREFIX}api must be a number from 1 on, not {api!r}")
    return api


def _nearest(hook: str) -> str:
    names = {kind.hook.removeprefix(_PREFIX): kind.hook for kind in KINDS}
    near = difflib.get_close_matches(hook.removeprefix(_PREFIX), names, n=1, cutoff=_TYPO)
    return names[near[0]] if near else ""


def _checked(
    kind: Kind, records: Iterable[Any], info: PluginInfo, before: list[Provided]
) -> list[Provided]:
    """Return what one hook returned, each record checked."""
    found: list[Provided] = []
    for number, record in enumerate(records):
        if number == MOST:
            raise ValueError(f"{kind.hook} gives more than {MOST} {kind.title}s: does it end?")
        if not isinstance(record, kind.record):
            wanted = f"fusionkit.{kind.record.__name__}"
            raise TypeError(f"{kind.hook} returned {type(record).__name__}, not {wanted}")
        mistake = kind.mistake(record)
        if mistake:
            raise ValueError(f"the {kind.title} {record.name!r} {mistake}")
        if any(p.kind == kind and p.component.name == record.name for p in [*before, *found]):
            raise ValueError(f"it provides the {kind.title} {record.name!r} twice")
        found.append(Provided(kind, record, info))
    return found
