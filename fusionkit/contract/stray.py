"""What plugins print: it goes to stderr in their name, since stdout holds the command's result."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from contextvars import ContextVar
from typing import TextIO


@contextmanager
def prints_on_stderr(who: str) -> Iterator[None]:
    """Pass on what is printed to stdout, line by line, to stderr, with ``who`` before it."""
    lines = _Lines(who)
    try:
        if isinstance(sys.stdout, _Apart):
            with sys.stdout.passed_on(lines):
                yield
        else:
            with redirect_stdout(lines):
                yield
    finally:
        lines.end()


@contextmanager
def prints_apart() -> Iterator[None]:
    """Have :func:`prints_on_stderr` hold for the thread that calls it alone, and not for all."""
    with redirect_stdout(_Apart(sys.stdout)):
        yield


_Stream = TextIO | io.TextIOBase


class _Apart(io.TextIOBase):
    """Text of several threads, each of which may say where its own goes."""

    def __init__(self, elsewhere: _Stream) -> None:
        self._elsewhere = elsewhere
        self._own: ContextVar[_Stream] = ContextVar("own", default=elsewhere)

    @contextmanager
    def passed_on(self, stream: _Stream) -> Iterator[None]:
        token = self._own.set(stream)
        try:
            yield
        finally:
            self._own.reset(token)

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return self._own.get().write(text)

    def flush(self) -> None:
        self._own.get().flush()


class _Lines(io.TextIOBase):
    """Text that goes to stderr, whole lines at a time; a logger may hold on to it."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            with suppress(OSError):  # a full disk is no fault of the plugin
                sys.stderr.write(f"{self._who}: {line}\n")  # at once, among those of other threads
        return len(text)

    def end(self) -> None:
        """Pass on a line that was not ended."""
        if self._begun:
            self.write("\n")
