"""What plugins print: it goes to stderr in their name, since stdout holds the command's result."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress


@contextmanager
def prints_on_stderr(who: str) -> Iterator[None]:
    """Pass on what is printed to stdout, line by line, to stderr, with ``who`` before it."""
    lines = _Lines(who)
    try:
        with redirect_stdout(lines):
            yield
    finally:
        lines.end()


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
                print(f"{self._who}: {line}", file=sys.stderr)
        return len(text)

    def end(self) -> None:
        """Pass on a line that was not ended."""
        if self._begun:
            self.write("\n")
