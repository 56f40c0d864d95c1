"""The folder of a study: what is run, what is done, and who works in it.

It holds ``study.json`` (what is run), ``results.jsonl`` (a line per cell and scene, appended
when it is done), ``cells/KEY.json`` (recipes), ``images/KEY/SCENE.*`` and
``weights/KEY/SCENE.png`` (weight maps, steps downwards, sources across). ``known.json`` holds
what takes time to find out, and may be deleted.

A line carries a checksum, and a key of all that it depends on: one that is damaged, or was made
of other sources, by other code or other weights, does not count, and its cell is run again.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..contract.paths import refuse_url
from ..errors import UsageError, one_line
from ..imaging import write_text
from ..imaging.files import sweep
from .study import Study, study_of

LOCK = ".lock"
_CHECK = "check"


@dataclass(frozen=True)
class Results:
    """What ``results.jsonl`` holds.

    Attributes
    ----------
    lines
        By cell and scene; of several, the last.
    damaged
        How many lines are no longer what was written, or never were.
    """

    lines: Mapping[tuple[str, str], Mapping[str, Any]]
    damaged: int = 0


@dataclass
class Known:
    """What takes time to find out; damage to it costs that time, and nothing else.

    Attributes
    ----------
    files
        Large files by path: size, time of change, SHA-256.
    steps
        By key of a variant and number of sources: in how many steps fixed weights cost as much.
    """

    files: dict[str, list[Any]] = field(default_factory=dict)
    steps: dict[str, int | None] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Known:
        """Read it; nothing is known where that fails."""
        try:
            content, check = json.loads((folder / "known.json").read_text("utf-8"))
            if check != _checksum(content):
                return cls()
            return cls(**content)
        except (OSError, ValueError, TypeError, RecursionError):
            return cls()

    def write(self, folder: Path) -> None:
        """Keep it, if it has changed."""
        if self != Known.read(folder):
            content = asdict(self)
            text = json.dumps([content, _checksum(content)], indent=1) + "\n"
            write_text(folder / "known.json", text, overwrite=True)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make the folder of a study, and hold it against other processes; a dead one holds nothing.

    Temporary files that a dead one left in it are removed.

    Raises
    ------
    UsageError
        It cannot be made or written to, or another process holds it.
    """
    from filelock import FileLock, Timeout

    refuse_url(folder)
    try:
        folder.mkdir(exist_ok=True)
        for name in ("cells", "images", "weights"):
            (folder / name).mkdir(exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise UsageError(
            f"{folder}: another study is running in it: wait for it, or choose another folder"
        ) from None
    except OSError as error:
        raise UsageError(f"{folder}: this folder cannot be made: {error.strerror}") from None
    try:
        for name in ("cells", "images/*", "weights/*"):
            for place in folder.glob(name):
                sweep(place)
        sweep(folder)
        yield
    finally:
        lock.release()


def read_study(folder: Path) -> Study:
    """Read the study that a folder holds; raise UsageError if it holds none, or a damaged one."""
    file = folder / "study.json"
    try:
        return study_of(json.loads(file.read_text("utf-8")))
    except FileNotFoundError:
        raise UsageError(f"{folder} holds no study: there is no study.json") from None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        reason = one_line(error, 120)
        raise UsageError(
            f"{folder} holds no study: {file} is damaged, or of another version ({reason}): "
            "remove it and run the study again, which finds its results"
        ) from None


def read_results(folder: Path) -> Results:
    """Read the finished lines; one that was cut off or damaged does not count."""
    file = folder / "results.jsonl"
    try:
        written = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return Results({})
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    lines = [line for text in written if (line := _opened(text)) is not None]
    damaged = sum(bool(text.strip()) for text in written) - len(lines)
    return Results({(line["cell"], line["scene"]): line for line in lines}, damaged)


def valid_lines(study: Study, results: Results) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Return the lines that are the study's own, made of what it is made of now."""
    found = {}
    for cell in study.cells:
        for scene in study.scenes:
            line = results.lines.get((cell.key, scene))
            if line is not None and line.get("key") == study.key(cell, scene):
                found[cell.key, scene] = line
    return found


def is_there(folder: Path, line: Mapping[str, Any]) -> bool:
    """Whether the image of a line is there, as far as its size tells."""
    try:
        return (folder / str(line["image"])).stat().st_size == int(line["bytes"])
    except OSError:
        return False


def sealed(line: Mapping[str, Any]) -> str:
    """Return a line of results as it is written: JSON with a checksum."""
    return json.dumps({**line, _CHECK: _checksum(line)}) + "\n"


def prepare(study: Study, folder: Path) -> None:
    """Write what is run into a folder that is held, or check that it can go on.

    Raises
    ------
    UsageError
        The folder holds a study of other scenes or metrics, or a damaged one.
    """
    text = json.dumps(asdict(study), indent=1, sort_keys=True) + "\n"
    file = folder / "study.json"
    if file.exists():
        before, now = read_study(folder), study_of(json.loads(text))
        if before.scenes != now.scenes:
            raise UsageError(f"{folder} holds a study of other scenes: choose another folder")
        if (before.metrics, before.options) != (now.metrics, now.options):
            raise UsageError(f"{folder} holds a study with other metrics: choose another folder")
    _write_if_other(file, text)
    for cell in study.cells:
        if cell.recipe:
            path = folder / "cells" / f"{cell.key}.json"
            _write_if_other(path, json.dumps({"recipe": cell.recipe}, indent=2) + "\n")
    _mend_last_line(folder / "results.jsonl")


def _write_if_other(path: Path, text: str) -> None:
    try:
        if path.read_bytes() == text.encode():
            return
    except OSError:
        pass
    write_text(path, text, overwrite=True)


def _opened(text: bytes) -> dict[str, Any] | None:
    """Return the line that a text is, or None if it is not what was written."""
    try:
        line = json.loads(text)
        return line if line.pop(_CHECK) == _checksum(line) else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _checksum(content: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(content, sort_keys=True).encode()):08x}"


def _mend_last_line(results: Path) -> None:
    """End a line that was cut off, or the next one would be lost with it."""
    try:
        content = results.read_bytes()
        if content and not content.endswith(b"\n"):
            with open(results, "ab") as file:
                file.write(b"\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{results} cannot be written: {error.strerror}") from None
