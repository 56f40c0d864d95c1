"""Flags that say which images of a folder, or of a list of files, make a scene."""

from __future__ import annotations

import argparse
import math

from ..errors import UsageError
from ..host.grouping import Stacking


def add_stacking_flags(parser: argparse.ArgumentParser) -> None:
    """Add ``--stack-by`` and ``--stack-gap``."""
    parser.add_argument(
        "--stack-by",
        type=_stack_by,
        metavar="N|all|name",
        help="group the images of a folder: N in a row, all of them, or by SCENE_ROLE",
    )
    parser.add_argument(
        "--stack-gap",
        type=_seconds,
        metavar="SECONDS",
        help="group them by time: a stack ends where so much lies between two, by Exif",
    )


def stacking(given: argparse.Namespace) -> Stacking:
    """Return how images are to be grouped, as the flags say."""
    if given.stack_by is not None and given.stack_gap is not None:
        raise UsageError("give --stack-by or --stack-gap, not both")
    return Stacking(given.stack_by, given.stack_gap)


def _stack_by(text: str) -> str | int:
    if text in ("all", "name"):
        return text
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"expects a number from 2, all or name, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expects seconds, more than 0, not {text!r}")
    return seconds
