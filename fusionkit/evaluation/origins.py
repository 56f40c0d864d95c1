"""What the results of a study come from: code, versions, option files, sources.

Nothing here imports torch: that a study has nothing left to do is found out in a moment.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from .._version import __version__
from ..contract.hashes import hash_of_file, hash_of_folder
from ..contract.kind import Kind
from ..contract.metric import METRIC
from ..contract.options import specs
from ..contract.preparation import PREPARATION
from ..contract.reading import readers_of
from ..contract.registry import PluginInfo, Provided, Registry
from ..host.fingerprint import code_of_modules, code_of_plugin, core_code
from ..recipes.finding import RECIPE_KINDS
from ..recipes.layers import stand_ins
from ..recipes.preparing import preparation_tables

LARGE = 2**25
"""Bytes from which on a file is not read again while its size and time are what they were."""

_MEASURING = tuple(
    f"fusionkit.evaluation.{name}" for name in ("measure", "meter", "ranges", "baselines", "window")
)


class Origins:
    """Finds what cells come from, and makes keys of it.

    Parameters
    ----------
    registry
        Where components are found.
    files
        What is known of large files by path: size, time of change in ns, SHA-256. Is added to.
    """

    def __init__(self, registry: Registry, files: dict[str, list[Any]] | None = None) -> None:
        self.registry = registry
        self._files: dict[str, list[Any]] = {} if files is None else files
        self._codes: dict[str, str] = {}

    def of_recipe(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a resolved recipe's image depends on beside its sources, JSON-ready."""
        return {
            "host": _host(),
            "components": {
                kind.group: self._component(kind, recipe[kind.group]) for kind in RECIPE_KINDS
            },
            "preparations": {
                called: self._component(PREPARATION, table)
                for called, table in preparation_tables(recipe).items()
            },
        }

    def of_measuring(
        self, metrics: Sequence[str], options: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Any]:
        """Return what values depend on beside the images, JSON-ready."""
        return {
            "host": _host(),
            "code": code_of_modules(_MEASURING),
            "metrics": {
                name: {
                    **self._component(METRIC, {"name": name, **options.get(name, {})}),
                    "options": dict(options.get(name, {})),
                }
                for name in metrics
            },
        }

    def of_sources(self, paths: Sequence[str]) -> list[str]:
        """Return the SHA-256 of each source, with the code of plugins that read such files.

        It is ``""`` for one that cannot be read.
        """
        return [self.of_file(Path(path)) + self._readers(path) for path in paths]

    def of_file(self, path: Path) -> str:
        """Return the SHA-256 of a file, or of all files of a folder; ``""`` if that fails."""
        try:
            if path.is_dir():
                return hash_of_folder(path)
            status = path.stat()
            if status.st_size < LARGE:
                return hash_of_file(path)
            known = self._files.get(str(path.resolve()))
            if known is not None and known[:2] == [status.st_size, status.st_mtime_ns]:
                return str(known[2])
            found = hash_of_file(path)
            self._files[str(path.resolve())] = [status.st_size, status.st_mtime_ns, found]
        except OSError:
            return ""
        return found

    def _readers(self, path: str) -> str:
        """Return what tells the readers of files of this name; ``""`` if the host reads them."""
        return "".join(f" {self._code(reader.plugin)}" for reader in readers_of(path))

    def _component(self, kind: Kind, table: Mapping[str, Any]) -> dict[str, Any]:
        provided = self.registry.find(kind, str(table["name"]))
        others = stand_ins(provided, table, self.registry)
        return {
            **self._plugin(provided),
            "files": {name: self.of_file(path) for name, path in _option_files(provided, table)},
            **{name: self._plugin(other) for name, other in others.items()},
        }

    def _plugin(self, provided: Provided) -> dict[str, Any]:
        plugin = provided.plugin
        return {
            "plugin": [plugin.name, plugin.distribution, plugin.version],
            "code": self._code(plugin),
        }

    def _code(self, plugin: PluginInfo) -> str:
        if plugin.origin not in self._codes:
            self._codes[plugin.origin] = code_of_plugin(plugin)
        return self._codes[plugin.origin]


def key_of(*parts: Any) -> str:
    """Return a short hash of what is JSON-ready; the order of keys does not matter."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _option_files(provided: Provided, table: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Yield the options whose text is the path of a file or folder that there is.

    Those that recipes name have their hash there.
    """
    for spec in specs(provided.component.options):
        said = table.get(spec.name)
        if spec.type not in (str, Path) or spec.choices is not None:
            continue
        for place, value in enumerate(said if isinstance(said, list) else [said]):
            if isinstance(value, str) and value and (path := Path(value).expanduser()).exists():
                yield f"{spec.name} {place}" if place else spec.name, path


@cache
def _host() -> dict[str, str]:
    libraries = {name: metadata.version(name) for name in ("torch", "numpy")}
    return {"fusionkit": __version__, "code": core_code(), **libraries}
