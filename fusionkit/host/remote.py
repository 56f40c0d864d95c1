"""Files at URLs: on the web, which is read alone, and in the stores that fsspec knows.

What a URL says of who asks (``user:password@``, a signature in its query) is in no message and in
no record.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit
from urllib.request import url2pathname

from ..contract.paths import without_secrets
from ..errors import FusionkitError, UsageError

_WEB = ("http", "https")
_HERE = ("file", "local")
_MOST = 4 * 2**30  # bytes that are fetched of one file
_PIECE = 2**20
_SECONDS = 60  # that a server may be silent


def is_url(name: str | os.PathLike[str]) -> bool:
    """Whether a name is a URL, and no file of this machine is called so."""
    text = os.fspath(name)
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text)) and not os.path.lexists(text)


def local_name(name: str) -> str:
    """Return the path that a URL ``file://`` is of; any other name as it is.

    Raises
    ------
    UsageError
        It is of another machine.
    """
    parts = _split(name) if is_url(name) else None
    if parts is None or parts.scheme.lower() not in _HERE:
        return name
    if parts.netloc not in ("", "localhost"):
        raise UsageError(
            f"{shown(name)}: this is a file of another machine: mount it, and give its path"
        )
    return url2pathname(parts.path) + (f"#{parts.fragment}" if parts.fragment else "")


def shown(url: str) -> str:
    """Return a URL as people may see it: without credentials, query and fragment."""
    return without_secrets(url)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise UsageError(f"{shown(url)}: this is no URL: {error}") from None


def is_folder(url: str) -> bool:
    """Whether files are below a URL; nothing on the web is a folder."""
    if _on_web(url):
        return False
    with _explained(url, "cannot be read"):
        system, path = _system(url)
        system.invalidate_cache()
        return bool(system.isdir(path))


def check_there(url: str) -> None:
    """Raise UsageError if a store has no file at a URL; the web says so when it is asked for it."""
    if not _on_web(url) and not exists(url):
        raise UsageError(f"{shown(url)}: there is no such file and no such folder: check the URL")


def files_below(url: str) -> list[str]:
    """Return the names of all files below a folder, relative to it; raise UsageError if refused."""
    with _explained(url, "cannot be listed"):
        system, path = _system(url)
        whole = f"{str(path).rstrip('/')}/"
        found = [str(name) for name in system.find(path)]
    return sorted(name.removeprefix(whole) for name in found if name.startswith(whole))


def exists(url: str) -> bool:
    """Whether there is a file at a URL of a store."""
    with _explained(url, "cannot be read"):
        system, path = _system(url)
        system.invalidate_cache()  # of another process's
        return bool(system.isfile(path))


def fetch(url: str, place: Path) -> None:
    """Fetch a file.

    Raises
    ------
    UsageError
        It is not there, nobody may read it, or it is too large.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with _explained(url, "cannot be read"), _opened(url) as source, open(place, "wb") as file:
        announced = getattr(source, "length", None)  # of an answer on the web
        size = 0
        while piece := source.read(_PIECE):
            size += len(piece)
            if size > _MOST:
                raise UsageError(f"{shown(url)}: more than {_MOST >> 30} GiB: download it first")
            file.write(piece)
        if announced is not None and size != announced:
            raise UsageError(f"{shown(url)}: {size} bytes came, of {announced}: try again")


def put(place: Path, url: str) -> None:
    """Put a file into a store, as a whole where that does so."""
    with _explained(url, "cannot be written"):
        system, path = _system(url)
        system.makedirs(system._parent(path), exist_ok=True)
        system.put_file(str(place), path)


def remove(url: str) -> None:
    """Remove a file from a store, if it is there."""
    if exists(url):
        with _explained(url, "cannot be removed"):
            system, path = _system(url)
            system.rm_file(path)


def check_writable(url: str) -> None:
    """Raise UsageError if nothing can be put below a URL, whoever asks."""
    if _on_web(url):
        raise UsageError(f"{shown(url)}: the web is read alone: give a folder, or that of a store")
    if urlsplit(url).query or urlsplit(url).fragment:
        raise UsageError(f"{shown(url)}: results have names of their own: leave out ? and #")
    with _explained(url, "cannot be written"):
        _system(url)


def _on_web(url: str) -> bool:
    return urlsplit(url).scheme.lower() in _WEB


def _system(url: str) -> tuple[Any, str]:
    """Return the file system of fsspec that a URL is in, and what it calls it."""
    try:
        core: Any = import_module("fsspec.core")
    except ImportError:
        raise UsageError(
            f"{shown(url)}: stores take the package fsspec: pip install 'fusionkit-imaging[remote]'"
        ) from None
    system, path = core.url_to_fs(url)
    return system, str(path)


def _opened(url: str) -> Any:
    """Return a file at a URL, to be read and closed."""
    if not _on_web(url):
        system, path = _system(url)
        return system.open(path, "rb")
    web: Any = import_module("urllib.request")
    parts = urlsplit(url)
    plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
    known = web.HTTPPasswordMgrWithDefaultRealm()
    if parts.username is not None:  # told to the server that asks, and to none that it points to
        known.add_password(None, plain, parts.username, parts.password or "")
    return web.build_opener(web.HTTPBasicAuthHandler(known)).open(plain, timeout=_SECONDS)


@contextlib.contextmanager
def _explained(url: str, what: str) -> Iterator[None]:
    """Turn whatever a store or a server raises into one line, without secrets of the URL."""
    try:
        yield
    except FusionkitError:
        raise
    except FileNotFoundError:
        raise UsageError(f"{shown(url)}: there is no such file: check the URL") from None
    except Exception as error:
        parts = urlsplit(url)
        code = getattr(error, "code", None)
        said = " ".join(str(error).split()) or type(error).__name__
        said = re.sub(r"\S+://\S+", "another URL", said)  # where a server points to
        if "@" in url or parts.query:  # which the text may repeat
            said = type(error).__name__ + (f" {code}" if isinstance(code, int) else "")
        raise UsageError(f"{shown(url)}: {what}: {said}") from None
