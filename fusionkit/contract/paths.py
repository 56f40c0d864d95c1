"""Options that name a file or a folder: where it is, and whether it is what it was.

In flags, recipes and keyword arguments such an option is a path; in a record it is a table of
the absolute path and its SHA-256, which whoever replays the record is held to.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .hashes import hash_of_file, hash_of_folder

_KEYS = {"path", "sha256"}


def as_path(value: Any) -> Path | None:
    """Return what an option says as an absolute path; None for nothing, which is ``""`` in TOML.

    Raises
    ------
    ValueError
        It is no text, no path, and no table as records have it.
    """
    if isinstance(value, Mapping) and "path" in value and set(value) <= _KEYS:
        value = value["path"]
    if value is None or value == "":
        return None
    if not isinstance(value, (str, os.PathLike)) or "\0" in os.fspath(value):
        raise ValueError(f"expects a path, not {value!r}")
    return Path(os.path.abspath(os.path.expanduser(value)))


def refuse_url(path: str | os.PathLike[str]) -> None:
    """Raise UsageError for a URL, which would be taken for a folder called ``s3:``."""
    name = os.fspath(path)
    # As a Path has it, there is one slash.
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", name) and not os.path.lexists(name):
        raise UsageError(
            f"{without_secrets(name)}: this is a URL, as only sources and results of fusionkit run "
            "may be: download it first, or upload afterwards"
        )


def without_secrets(url: str) -> str:
    """Return a URL as people may see it: without who asks, signature (query) and fragment.

    It need not be well formed: a password may hold ``/``, ``#`` or ``?`` that should be escaped.
    """
    # user:password@, but no host:port/ before a name with an @ in it; as a Path has it, one slash.
    url = re.sub(r"(:/{1,3})[^/@:]*:(?!\d*/|:)[^@]*@", r"\1", url)
    url = re.sub(r"(:/{1,3})[^/@]*@", r"\1", url)
    return re.sub(r"[?#].*?(?=::|$)", "", url)


def split_part(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Return a file, and which part of it is meant: ``ct.nii.gz#z80`` is ``z80`` of a volume.

    The part is empty where none is said, and where a file has the whole name.
    """
    name = os.fspath(path)
    file, mark, part = name.rpartition("#")
    if not (mark and part and file) or os.path.lexists(name):
        return name, ""
    return file, part


def said_in(folder: Path, value: Any) -> Any:
    """Return the value of an option as it is said in a file of a folder: relative to that."""
    if isinstance(value, (list, tuple)):
        return [said_in(folder, each) for each in value]
    if isinstance(value, Mapping) and "path" in value:
        return {**value, "path": said_in(folder, value["path"])}
    return os.path.join(folder, os.path.expanduser(value)) if value and _is_text(value) else value


def recorded(path: Path | None) -> Any:
    """Return what a record says of a path: with its hash, JSON-ready.

    Raises
    ------
    UsageError
        There is no such file or folder, or it cannot be read.
    """
    return "" if path is None else {"path": str(path), "sha256": _digest(path)}


def verify(value: Any, where: str, flag: str) -> None:
    """Hold what an option names to what is said of it: that it is there, and its hash.

    Parameters
    ----------
    value
        A path or a table, or a list of them, as :func:`as_path` takes them.
    where, flag
        What messages call the option, and how it is given.

    Raises
    ------
    UsageError
        It is not there, or has another hash.
    """
    for each in value if isinstance(value, (list, tuple)) else [value]:
        path = as_path(each)
        if path is None:
            continue
        try:
            found = _digest(path)
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from None
        wanted = each.get("sha256") if isinstance(each, Mapping) else None
        if wanted and found != str(wanted).lower():
            raise UsageError(
                f"{where}: {path}: its SHA-256 is {found}, not {wanted}: it is not what the recipe "
                f"was recorded with; give {flag} PATH to use it all the same"
            )


def shortened(name: str, most: int = 200) -> str:
    """Return a name for a message: its ends, if it is very long."""
    return name if len(name) <= most else f"{name[: most // 2]}...{name[-most // 2 :]}"


def _is_text(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


def _digest(path: Path) -> str:
    try:
        return _digest_of(path, tuple(_stamps(path)))
    except OSError as error:
        there = os.path.lexists(path)
        reason = f"cannot be read: {error.strerror or error}" if there else "there is no such file"
        raise UsageError(f"{shortened(str(path))}: {reason}") from None


@lru_cache(maxsize=64)
def _digest_of(path: Path, stamps: tuple[tuple[str, int, int], ...]) -> str:
    """Hash a file, or all of a folder; once, as long as nothing is written there."""
    return hash_of_folder(path) if path.is_dir() else hash_of_file(path)


def _stamps(path: Path) -> Iterator[tuple[str, int, int]]:
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        status = file.stat()
        yield str(file), status.st_size, status.st_mtime_ns
