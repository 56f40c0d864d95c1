"""Flags that say which images make a scene, and which scenes are to be fused."""

from __future__ import annotations

import argparse
import hashlib
import math
from dataclasses import dataclass

from ..errors import UsageError
from ..host.grouping import Stacking
from ..host.listing import composed
from ..host.slices import Slices


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


def add_slices_flag(parser: argparse.ArgumentParser) -> None:
    """Add ``--slices``."""
    parser.add_argument(
        "--slices",
        type=_slices,
        metavar="all|A:B|A|AXIS",
        help="fuse volumes slice by slice into one: all slices, A to B counted from 0, A alone, or "
        "these along the patient's x, y or z: y, y20:60, y20; sources are NIfTI files, "
        "stacks of OME-TIFF and folders of DICOM",
    )


def _slices(text: str) -> Slices:
    try:
        return Slices.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_shard_flag(parser: argparse.ArgumentParser) -> None:
    """Add ``--shard``."""
    parser.add_argument(
        "--shard",
        type=Shard.parse,
        metavar="I/N",
        help="fuse one of N shares of the scenes alone, I from 1; the share is told by a scene's "
        "name, so that N machines, or a cluster's array of jobs, do everything once",
    )


@dataclass(frozen=True)
class Shard:
    """One of ``count`` shares of the scenes, ``place`` from 1."""

    place: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``I/N``."""
        place, _, count = text.partition("/")
        if not (place.isdecimal() and count.isdecimal() and 1 <= int(place) <= int(count)):
            raise argparse.ArgumentTypeError(f"expects I/N with I from 1 to N, not {text!r}")
        return cls(int(place), int(count))

    def holds(self, name: str) -> bool:
        """Whether a scene of this name is in it: other scenes change nothing."""
        digest = hashlib.sha256(composed(name).encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.place - 1


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
