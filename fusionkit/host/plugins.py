"""Finding and loading plugins: each in isolation, blocked before import where asked."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from .._version import __version__
from ..contract.options import suggest
from ..contract.reading import load_readers_by
from ..contract.registry import PluginInfo, Provided, Registry
from ..errors import FusionkitWarning, PluginLoadError, UsageError
from ..recipes import builtin
from .collecting import Collector
from .guarding import guarded

GROUP = "fusionkit"
DISTRIBUTION = "fusionkit-imaging"
"""What fusionkit itself is called where packages are installed from."""
_TRUE = {"1", "yes", "true", "on"}


@dataclass(frozen=True)
class _Candidate:
    """A plugin that was found but not imported; one without an entry point is a file."""

    info: PluginInfo
    entry_point: importlib.metadata.EntryPoint | None = None

    def names(self) -> set[str]:
        """Return the names by which it can be disabled; a file was asked for, and has none."""
        if self.entry_point is None:
            return set()
        return {_normal(self.info.name), _normal(self.info.distribution or self.info.name)}

    def load(self) -> Any:
        if self.entry_point is None:
            return _load_file(Path(self.info.origin), self.info.name)
        if self.entry_point.pattern.match(self.entry_point.value) is None:
            raise ValueError(
                f"its entry point is {self.entry_point.value!r}, not MODULE or MODULE:OBJECT"
            )
        return self.entry_point.load()


# What needs no entry point to be found.
_OURS = _Candidate(
    PluginInfo(builtin.PLUGIN, "loaded", builtin.__name__, DISTRIBUTION, __version__),
    importlib.metadata.EntryPoint(builtin.PLUGIN, builtin.__name__, GROUP),
)


def installed_plugins() -> list[importlib.metadata.EntryPoint]:
    """Return the entry points of all installed plugins, none of which is imported.

    A package of which they cannot be read, whoever's it is, is left out with a warning.
    """
    try:
        return list(importlib.metadata.entry_points(group=GROUP))
    except Exception:  # whatever reading a damaged one raises, it says not whose it is
        return _readable_entry_points()


def _readable_entry_points() -> list[importlib.metadata.EntryPoint]:
    found: dict[str, list[importlib.metadata.EntryPoint]] = {}
    for distribution in importlib.metadata.distributions():
        place = str(distribution.locate_file(""))
        name = _said_by(distribution, "name")
        points: list[importlib.metadata.EntryPoint] = []
        try:
            points += distribution.entry_points.select(group=GROUP)
        except Exception as error:
            warnings.warn(
                f"package {name or 'without a name'} in {place}: its entry_points.txt is damaged "
                f"({' '.join(str(error).split())}): its plugins are left out; install it anew",
                FusionkitWarning,
                stacklevel=4,
            )
        # The first of a name is the one that is imported.
        found.setdefault(_normal(name or place), points)
    return [point for points in found.values() for point in points]


def _said_by(distribution: importlib.metadata.Distribution | None, field: str) -> str | None:
    """Return the name or version of a package; None if it does not say, or cannot be read."""
    try:
        return getattr(distribution, field, None)
    except Exception:
        return None


def load_plugins(
    *,
    disabled: Iterable[str] = (),
    inline: Iterable[str] = (),
    strict: bool | None = None,
    entry_points: Iterable[importlib.metadata.EntryPoint] | None = None,
) -> Registry:
    """Load every installed plugin and return the registry of their components.

    Parameters
    ----------
    disabled
        Plugins, by plugin or distribution name, that are not even imported.
        Those of ``FUSIONKIT_DISABLE_PLUGINS`` (comma-separated) are added.
    inline
        Paths of Python files to load as plugins beside the installed ones. One takes the place
        of an installed plugin of its name.
    strict
        Raise at once if any plugin fails to load. Default: whether
        ``FUSIONKIT_STRICT`` is 1.
    entry_points
        In the place of the installed ones of the group ``fusionkit``, for tests.

    Raises
    ------
    UsageError
        ``disabled`` names a plugin that is not installed, or an inline file is missing.
    PluginLoadError
        An inline plugin failed to load, or any plugin did under ``strict``.
    """
    strict = os.environ.get("FUSIONKIT_STRICT", "").lower() in _TRUE if strict is None else strict
    if entry_points is None:
        candidates = [_OURS, *_from_entry_points(installed_plugins())]
    else:
        candidates = _from_entry_points(entry_points)
    files = [_from_file(path) for path in dict.fromkeys(inline)]
    given = {file.info.name: file.info.origin for file in files}
    candidates += files

    blocked = _blocked(disabled, candidates)
    collector = Collector()
    infos: list[PluginInfo] = []
    provided: list[Provided] = []
    for candidate in candidates:
        if candidate.names() & blocked:
            infos.append(replace(candidate.info, status="disabled"))
            continue
        if candidate.entry_point is not None and candidate.info.name in given:
            by = f"by {given[candidate.info.name]}"
            infos.append(replace(candidate.info, status="replaced", error=by))
            continue
        try:
            _refuse_shared_name(candidate, candidates, blocked)
            with guarded(f"plugin {candidate.info.name}"):
                found = collector.add(candidate.load(), candidate.info)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            if strict or candidate.entry_point is None:
                info = candidate.info
                raise PluginLoadError(
                    f"plugin {info.name} ({info.source}) failed to load: {reason}"
                ) from error
            infos.append(replace(candidate.info, status="failed", error=reason))
        else:
            infos.append(candidate.info)
            provided.extend(found)
            if candidate.entry_point is None and not found:
                warnings.warn(
                    f"plugin file {candidate.info.origin} provides nothing: a function marked "
                    "@fusionkit.hookimpl, such as fusionkit_weightings, says what it adds",
                    FusionkitWarning,
                    stacklevel=2,
                )
    return Registry(infos, provided)


load_readers_by(load_plugins)


def _refuse_shared_name(
    candidate: _Candidate, candidates: list[_Candidate], blocked: set[str]
) -> None:
    """Two plugins of one name would make ``provider:name`` ambiguous: neither is loaded."""
    rivals = [
        other
        for other in candidates
        if other is not candidate
        and other.info.name == candidate.info.name
        and (other.entry_point is None) == (candidate.entry_point is None)
        and not other.names() & blocked
    ]
    if rivals:
        listed = ", ".join(sorted(r.info.distribution or r.info.origin for r in rivals))
        cure = (
            "rename one of the files"
            if candidate.entry_point is None
            else "disable one by its distribution's name"
        )
        raise ValueError(f"{listed} has a plugin of this name too; {cure}")


def _blocked(disabled: Iterable[str], candidates: list[_Candidate]) -> set[str]:
    known = set().union(*(candidate.names() for candidate in candidates))
    asked = set()
    for name in disabled:
        if _normal(name) not in known:
            raise UsageError(f"no plugin {name!r} to disable.{suggest(name, known)}")
        asked.add(_normal(name))
    environment = os.environ.get("FUSIONKIT_DISABLE_PLUGINS", "").split(",")
    for name in environment:
        if name.strip() and _normal(name) not in known:
            warnings.warn(
                f"FUSIONKIT_DISABLE_PLUGINS: there is no plugin {name.strip()!r}."
                f"{suggest(name.strip(), known)}",
                FusionkitWarning,
                stacklevel=3,
            )
    return asked | {_normal(name) for name in environment if name.strip()}


def _normal(name: str) -> str:
    """Distribution names compare without case, and with ``-``, ``_`` and ``.`` alike."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _from_entry_points(points: Iterable[importlib.metadata.EntryPoint]) -> list[_Candidate]:
    said: dict[int, tuple[str | None, str | None]] = {}  # of packages, which are parsed each time
    candidates = []
    for point in points:
        package = point.dist
        if id(package) not in said:
            said[id(package)] = _said_by(package, "name"), _said_by(package, "version")
        name, version = said[id(package)]
        candidates.append(
            _Candidate(PluginInfo(point.name, "loaded", point.value, name, version), point)
        )
    return candidates


def _from_file(path: str) -> _Candidate:
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"plugin file {path} does not exist")
    if file.suffix != ".py":
        raise UsageError(f"plugin file {path} is not a Python file (.py)")
    return _Candidate(PluginInfo(name=file.stem, status="loaded", origin=str(file)))


class _FromSource(SourceFileLoader):
    """Compiles the file as it stands.

    Bytecode that Python keeps is told from an older file's by second and size alone: what is
    edited within one, as by a script, would be run as it was.
    """

    def path_stats(self, path: str) -> Any:
        """Say that nothing is known of the file, so that no bytecode is read or kept."""
        raise OSError


def _load_file(path: Path, name: str) -> ModuleType:
    module_name = f"fusionkit_inline_{re.sub(r'[^0-9a-zA-Z]', '_', name)}"
    loader = _FromSource(module_name, str(path))
    spec = importlib.util.spec_from_file_location(module_name, path, loader=loader)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module
