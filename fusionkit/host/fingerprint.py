"""Hashes of code: a result that is kept is only as good as the code that it came from."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..contract.hashes import hash_of_folder

if TYPE_CHECKING:
    from ..contract.registry import PluginInfo

_CORE = ("contract", "host", "imaging", "ops", "recipes", "sampling")


@lru_cache
def core_code() -> str:
    """Return a hash of the host as far as it decides what a recipe makes."""
    files: list[Path] = []
    for package in _CORE:
        files += sorted(_file_of(f"fusionkit.{package}").parent.glob("*.py"))
    return _hash(files)


@lru_cache
def code_of_modules(names: tuple[str, ...]) -> str:
    """Return a hash of the source of some modules."""
    return _hash(_file_of(name) for name in names)


def code_of_class(cls: type) -> str:
    """Return a hash of the package that a class comes from, all of it, or of its one file."""
    file = Path(inspect.getfile(cls))
    depth = cls.__module__.count(".")
    if depth or file.name == "__init__.py":
        return _code_of_folder(file.parents[max(0, depth - 1)] if depth else file.parent)
    return _hash([file])


def code_of_plugin(plugin: PluginInfo) -> str:
    """Return a hash of all files of a plugin: its package with what it ships, or its one file."""
    if plugin.origin.endswith(".py"):  # given as a file
        return _hash([Path(plugin.origin)])
    name = plugin.origin.partition(":")[0].partition(".")[0]
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return ""  # of a module that is no file, versions are all there is
    if Path(file).name != "__init__.py":
        return _hash([Path(file)])
    return _hash_of_plugin(Path(file).parent)


def combined(*codes: str) -> str:
    """Return one short hash of several, in any order."""
    return hashlib.sha256("\n".join(sorted(codes)).encode()).hexdigest()[:16]


@lru_cache  # of the code as it was imported
def _hash_of_plugin(folder: Path) -> str:
    return hash_of_folder(folder)


@lru_cache
def _code_of_folder(folder: Path) -> str:
    return _hash(sorted(folder.rglob("*.py")))


def _file_of(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)


def _hash(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
