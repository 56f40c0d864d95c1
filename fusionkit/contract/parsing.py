"""Command lines of commands: what is wrong with one is said in one line."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from ..errors import UsageError


class CommandParser(argparse.ArgumentParser):
    """An ``argparse`` parser that raises UsageError, one line, instead of printing its usage.

    For the ``main`` of a :class:`fusionkit.Command`. Flags are written in full, and description
    and epilog stand in the help as they are written.

    Examples
    --------
    >>> parser = CommandParser(prog="levels")
    >>> _ = parser.add_argument("--bits", type=int)
    >>> parser.parse_args(["--bits", "few"])
    Traceback (most recent call last):
    ...
    fusionkit.errors.UsageError: argument --bits: invalid int value: 'few' (see levels --help)
    """

    def __init__(self, **keywords: Any) -> None:
        super().__init__(
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **keywords,
        )

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        raise UsageError(f"{message} (see {self.prog} --help)")
