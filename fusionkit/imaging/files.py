"""Files that appear whole or not at all, and what killed processes leave of them."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows has none: there, nothing is locked, and nothing swept
    fcntl = None  # type: ignore[assignment]

from fusionkit.errors import UsageError

_PREFIX, _SUFFIX = ".fusionkit-", ".part"
_PRIVATE = "fusionkit-remote-"


def check_destination(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Raise a UsageError unless a file can be made at `path`, by making one beside it."""
    name = os.fspath(path)
    folder = os.path.dirname(name) or "."
    if os.path.isdir(name):
        raise UsageError(f"{name}: this is a folder: give the name of a file in it")
    if not os.path.isdir(folder):
        raise UsageError(f"{name}: the folder {folder} does not exist: make it first")
    if os.path.exists(name) and not overwrite:
        raise exists(name)
    with part_of(name):
        pass


def write_text(path: str | os.PathLike[str], text: str, overwrite: bool = False) -> None:
    """Write UTF-8 text with unchanged line ends, whole or not at all; see `atomic_write`."""
    with atomic_write(path, overwrite=overwrite) as file:
        file.write(utf8(text))


def as_cell(text: str) -> str:
    """Return text of a CSV as what it is: spreadsheets would run it if it began with ``=``."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def utf8(text: str) -> bytes:
    """Encode text as UTF-8; of a file name that is none, bytes are written as JSON escapes."""
    return text.encode("utf-8", "backslashreplace")


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`, which takes that name when the block ends well.

    If the block raises, KeyboardInterrupt included, the temporary file is removed and
    whatever was at `path` is untouched. A symbolic link at `path` is followed.

    Raises
    ------
    UsageError
        If the file system refuses, or `path` exists at the end and `overwrite` is false.
    """
    with part_of(path) as part:
        yield part.file
        part.take_name(overwrite=overwrite)


class Part:
    """A temporary file beside the one that it is to become.

    It is locked until it is closed: a file of this kind without a lock was left by a process
    that was killed, and can be swept.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = os.fspath(path)
        self.target = os.path.realpath(self.name)
        self.temporary, descriptor = _make_temporary(os.path.dirname(self.target))
        self.file: BinaryIO = open(descriptor, "wb")  # noqa: SIM115 - closed by part_of

    def settle(self) -> None:
        """Have what was written on the disk, not only on its way there: for when the power goes."""
        self.file.flush()
        os.fsync(self.file.fileno())

    def take_name(self, *, overwrite: bool = False) -> None:
        """Rename what was written; raise UsageError if the name is taken and not to be replaced."""
        self.file.flush()
        if fcntl is None:  # and Windows renames no open file
            self.file.close()
        if overwrite:
            os.replace(self.temporary, self.target)
            return
        try:
            _move_to_free_name(self.temporary, self.target)
        except FileExistsError:
            raise exists(self.name) from None

    def discard(self) -> None:
        """Close it, and remove it if it was not renamed."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.temporary)
        # What could not be written while it was in use cannot be written now either.
        with contextlib.suppress(OSError):
            self.file.close()


@contextlib.contextmanager
def part_of(path: str | os.PathLike[str]) -> Iterator[Part]:
    """Open a temporary file beside `path` that is gone at the end, unless it took that name.

    Raises
    ------
    UsageError
        If the file system refuses, then or within the block.
    """
    name = os.fspath(path)
    with explained(name):
        part = Part(name)
        try:
            yield part
        finally:
            part.discard()


@contextlib.contextmanager
def part_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Make a folder beside `path` that is gone at the end, unless it was renamed.

    It is locked as long, as a :class:`Part` is.

    Raises
    ------
    UsageError
        If the file system refuses, then or within the block.
    """
    name = os.fspath(path)
    with explained(name):
        parent = os.path.dirname(os.path.realpath(name))
        folder = Path(parent) / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
        folder.mkdir()
        descriptor = None if fcntl is None else os.open(folder, os.O_RDONLY)
        try:
            if descriptor is not None:
                with contextlib.suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if descriptor is not None:
                os.close(descriptor)


@contextlib.contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes that ask for the same out of a folder, where the system has locks."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems lock no folders
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files that killed processes left in a folder."""
    if fcntl is None:
        return
    for left in Path(folder).glob(f"{_PREFIX}*{_SUFFIX}"):
        with contextlib.suppress(OSError):  # locked, and so being written; or gone already
            descriptor = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if left.is_dir():
                    shutil.rmtree(left)
                else:
                    os.unlink(left)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder of temporary files for this user alone, which is gone at the end.

    It is locked as long: one without a lock was left by a process that was killed.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PRIVATE))
        descriptor = None if fcntl is None else os.open(folder, os.O_RDONLY)
        if descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if folder.exists():  # or it was swept before it was locked
            break
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def sweep_private() -> None:
    """Remove the private folders that killed processes left."""
    if fcntl is None:
        return
    for left in Path(tempfile.gettempdir()).glob(f"{_PRIVATE}*"):
        with contextlib.suppress(OSError):  # somebody else's, or in use, or gone already
            descriptor = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(descriptor)


def _make_temporary(folder: str) -> tuple[str, int]:
    """Make an empty file, locked, with the permissions that the umask gives."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        temporary = os.path.join(folder, f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")
        descriptor = os.open(temporary, flags, 0o666)
        if fcntl is None:
            return temporary, descriptor
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.exists(temporary):
            return temporary, descriptor
        os.close(descriptor)  # swept before it was locked


def _move_to_free_name(temporary: str, target: str) -> None:
    """Rename without replacing; FileExistsError if the name is taken by then."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:
        # No hard links on this file system: claim the name with an empty file, then fill it.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            os.replace(temporary, target)
        except BaseException:
            os.unlink(target)
            raise


def exists(name: str) -> UsageError:
    """Make the error for a name that is taken."""
    return UsageError(
        f"{name}: this file exists: give another name, or --overwrite (in Python overwrite=True)"
    )


@contextlib.contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn what the file system raises into one line."""
    try:
        yield
    except OSError as cause:
        raise UsageError(
            f"{name}: it cannot be written: {cause.strerror or cause}: "
            "check the folder's permissions and space"
        ) from cause
