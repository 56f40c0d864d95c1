"""The readers that images are read with: those of a registry, or of all that is installed.

Reading has no registry at hand: a picture may be read long before, or long after, a pipeline is
composed. Plugins are loaded for it only when a file is of no format that is built in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath

from .paths import split_part
from .reader import READER, Reader
from .registry import Provided, Registry


def _nothing() -> Registry:
    return Registry([], [])


_load: Callable[[], Registry] = _nothing  # the host puts its own here
_used: Registry | None = None


def load_readers_by(load: Callable[[], Registry]) -> None:
    """Say what loads plugins, if readers are wanted before anybody has said which."""
    global _load
    _load = load


def use_readers(registry: Registry) -> None:
    """Read with the readers of a registry from now on, in this process."""
    global _used
    _used = registry


@contextmanager
def reading_with(registry: Registry | None) -> Iterator[None]:
    """Read with the readers of a registry for a while; None changes nothing."""
    global _used
    before = _used
    _used = before if registry is None else registry
    try:
        yield
    finally:
        _used = before


def readers() -> tuple[Provided, ...]:
    """Return the readers in use that have what they need.

    It loads the installed plugins if nobody has said which.
    """
    return tuple(each for each in _all() if each.component.there)


def lacking(name: str) -> str:
    """Say what readers of files of this name need that is not installed; else nothing."""
    file = split_part(name)[0].lower()
    found = [each.component for each in _all() if not each.component.there]
    return next((need_of(one) for one in found if file.endswith(one.extensions)), "")


def need_of(reader: Reader) -> str:
    """Return what a reader needs, in words."""
    how = f": pip install '{reader.install}'" if reader.install else ""
    return f"{reader.summary} takes the package {reader.needs}{how}"


def _all() -> tuple[Provided, ...]:
    if _used is None:
        use_readers(_load())
    assert _used is not None
    return _used.all(READER)


def readers_of(name: str) -> list[Provided]:
    """Return the readers of files of this name, by what it ends in."""
    file = split_part(name)[0].lower()
    return [each for each in readers() if file.endswith(each.component.extensions)]


def writers_of(name: str) -> list[Provided]:
    """Return the readers whose format files of this name are written in."""
    return [each for each in readers_of(name) if each.component.writer is not None]


def written_extensions() -> tuple[str, ...]:
    """Return what names of files end in that readers' formats are written in."""
    writing = [each.component for each in readers() if each.component.writer is not None]
    return tuple(dict.fromkeys(end for component in writing for end in component.extensions))


def stem_of(path: str | PurePath) -> str:
    """Return a file's name without its extension, which of a reader's may be ``.nii.gz``."""
    name = PurePath(path).name
    if "." in PurePath(name).stem:  # else there is but one extension, and nobody to ask
        ends = [end for one in readers_of(name) for end in one.component.extensions]
        longest = max((len(end) for end in ends if name.lower().endswith(end)), default=0)
        if 0 < longest < len(name):
            return name[:-longest]
    return PurePath(name).stem
