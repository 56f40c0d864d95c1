"""Reads damaged files in child processes, and tells which of them did any harm."""

from __future__ import annotations

import contextlib
import io
import os
import random
import select
import signal
import struct
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusionkit.errors import ImageError, UsageError
from fusionkit.imaging import Picture, encode_picture, in_one_profile, read_picture
from fusionkit.imaging.read import picture_from_bytes
from fusionkit.imaging.stacks import images_in, read_stack

from .mutations import mutated
from .seeds import seeds

MEMORY = 2**30
"""Bytes that reading one file of a few KB may take."""

SECONDS = 10
"""Time of the processor that it may take."""

_WAIT = 6  # times as long, before a process is ended from outside: others may be busy

_OFTEN = 2500  # files, after which it is told how far a campaign is

_SMALL = 2**20  # pixels of pictures that are used, too
_STARTED, _READ, _REFUSED, _BAD = range(4)
_REPORT = struct.Struct("<IBH")  # which file, what happened, length of the text that follows


@dataclass(frozen=True)
class Harm:
    """A file that did harm: what happened, and its bytes."""

    number: int
    name: str
    what: str
    data: bytes


def file_of(number: int, seed: int, only: str = "") -> tuple[str, bytes]:
    """Return name and bytes of one file of a campaign, the same in every process."""
    names = sorted(name for name in _SEEDS if only in name)
    rng = random.Random(f"{seed} {number}")
    name = rng.choice(names)
    others = [_SEEDS[other] for other in names if other.partition("-")[0] == name.partition("-")[0]]
    return name, mutated(_SEEDS[name], others, rng)


def campaign(count: int, seed: int = 0, only: str = "") -> Iterator[tuple[int, int, Harm | None]]:
    """Read `count` files; yield how many were read and refused so far, and each harm as it comes.

    Without a harm that is how far it is, every so often and at the end. Crashes and hangs end a
    child process only, and the next one goes on behind the file.
    """
    read = refused = start = 0
    while start < count:
        last = start
        for number, outcome, text in _child(start, count, seed, only):
            last = number
            read += outcome == _READ
            refused += outcome == _REFUSED
            if outcome == _BAD:
                yield read, refused, _harm(number, seed, only, text)
            elif (number + 1) % _OFTEN == 0 and number + 1 < count:
                yield read, refused, None
        start = last + 1
    yield read, refused, None


def _harm(number: int, seed: int, only: str, text: str) -> Harm:
    name, data = file_of(number, seed, only)
    return Harm(number, name, text, data)


def _child(start: int, count: int, seed: int, only: str) -> Iterator[tuple[int, int, str]]:
    """Read files from `start` in a child process until it ends or has to be ended."""
    reports, reporting = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reports)
        _work(reporting, start, count, seed, only)
    os.close(reporting)
    current, ended = start, "it left the process"
    with open(reports, "rb", buffering=0) as pipe:
        while True:
            if not select.select([pipe], [], [], _WAIT * SECONDS)[0]:
                ended = f"it took more than {SECONDS} s and could not be interrupted"
                os.kill(process, signal.SIGKILL)
                break
            head = _exactly(pipe, _REPORT.size)
            if not head:
                break
            current, outcome, length = _REPORT.unpack(head)
            text = _exactly(pipe, length).decode(errors="replace")
            if outcome != _STARTED:
                yield current, outcome, text
                current += 1
    _, status = os.waitpid(process, 0)
    if current < count:
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
            ended = f"it ended the process by signal {os.WTERMSIG(status)}"
        yield current, _BAD, ended


def _exactly(pipe: io.RawIOBase, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = pipe.read(length - len(data))
        if not part:
            return b""
        data += part
    return data


def _work(reporting: int, start: int, count: int, seed: int, only: str) -> None:
    """Be the child process: read files, report each, never return."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        _limit_memory()
        path = Path(folder) / "file"
        for number in range(start, count):
            os.write(reporting, _REPORT.pack(number, _STARTED, 0))
            path.write_bytes(file_of(number, seed, only)[1])
            outcome, text = _outcome(path)
            if printed.seek(0, os.SEEK_END):
                printed.seek(0)
                outcome, text = _BAD, f"printed: {printed.read(500).decode(errors='replace')}"
                printed.truncate(0)
            encoded = text.encode()[:2000]
            os.write(reporting, _REPORT.pack(number, outcome, len(encoded)) + encoded)
    os._exit(0)


def _outcome(path: Path) -> tuple[int, str]:
    """Read a file and use what it holds; anything but a picture or one line is bad."""
    try:
        with _time_limit():
            several = images_in(path) > 1
            for picture in read_stack(path) if several else [read_picture(path)]:
                if picture.width * picture.height <= _SMALL:
                    _use(picture)
    except ImageError as refusal:
        message = str(refusal)
        if not message.startswith((f"{path}: ", f"{path}, page ")) or "\n" in message:
            return _BAD, f"not one line that names the file: {message}"
        if "not enough memory" in message:
            return _BAD, f"it takes more than {MEMORY} bytes"
        return _REFUSED, ""
    except BaseException:
        return _BAD, traceback.format_exc()
    return _READ, ""


def _use(picture: Picture) -> None:
    """Apply the profile, and write pixels, profile and metadata to files that can be read."""
    (usable,) = in_one_profile([picture])
    beside = {"icc": usable.icc, "metadata": usable.metadata.upright()}
    for name in ("a.tif", "a.png", "a.jpg"):
        alpha = None if name == "a.jpg" else usable.alpha
        try:
            data = encode_picture(name, usable.pixels, alpha, **beside)
        except UsageError:  # not every format holds every depth
            continue
        again = picture_from_bytes(data, "written", (usable.low, usable.high))
        if name != "a.jpg":
            np.testing.assert_array_equal(again.pixels, usable.pixels)


class _TooLong(BaseException):
    """No Exception, which the readers take for damage."""


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise _TooLong(f"it takes more than {SECONDS} s")

    signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _limit_memory() -> None:
    """Allow this process `MEMORY` more than it has."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


_SEEDS = seeds()
