"""The value ranges that images are looked at in: as said, as recorded, or as the file tells.

And the colour profile, which is that of the first source in colour, as for a run.

A range is taken, in this order, from

1. ``--range``, or ``--stretch`` for sources;
2. the record of a run beside the file, which says what the output spans, and, by their hashes,
   what each input was taken to span;
3. the file itself: 8 bits, the 12 bits that a TIFF declares, a float in [0, 1];
4. for a result, the range and type that all its sources share, as a run writes it.

What is left are integers of 16 bits that use a small part of them, of which nobody has said
what they span, and types that have no range by convention: they are refused.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ImageError, UsageError
from ..host.saving import file_sha256, record_of
from ..imaging import Picture, full_scale, in_one_profile, parse_bounds, parse_range, read_picture
from ..imaging.values import OWN, ValueRange

Range = tuple[float, float]

REFERENCE = "reference"
"""What ``--range`` calls a ground truth."""


@dataclass(frozen=True)
class Recorded:
    """What the record of a run tells of ranges: its output's, and its inputs' by their SHA-256."""

    dtype: str
    output: Range
    inputs: Mapping[str, ValueRange]


@dataclass
class Ranges:
    """Reads images at the range that they stand for.

    Attributes
    ----------
    said
        Ranges by what ``--range`` calls an image: a source by its number, from ``"1"`` on, a
        result by its name.
    stretch
        The sources, from 1, whose own least and greatest value are their range; 0 is all.
    notes
        What a person should know of the images read so far, one line each.
    """

    said: Mapping[str, Range] = field(default_factory=dict)
    stretch: Sequence[int] = ()
    notes: dict[str, None] = field(default_factory=dict)

    def sources(
        self, paths: Sequence[str | os.PathLike[str]], results: Sequence[Path] = ()
    ) -> list[Picture]:
        """Read the sources of a scene, in one colour profile; records of its results tell ranges.

        Raises
        ------
        ImageError
            A file cannot be read or scaled, or two records tell of it differently.
        """
        records = [record for path in results if (record := recorded(path)) is not None]
        pictures = []
        for number, path in enumerate(paths, start=1):
            name = str(number)
            if name not in self.said and not {0, number}.isdisjoint(self.stretch):
                picture = read_picture(path, OWN, name, masks=True)
            else:
                picture = self._read(name, path, records)
            pictures.append(picture)
        return [self._noted(picture) for picture in in_one_profile(pictures)]

    def result(
        self, name: str, path: str | os.PathLike[str], sources: Sequence[Picture] = ()
    ) -> Picture:
        """Read a fused image or a ground truth; its sources tell the profile, and maybe its range.

        Raises
        ------
        ImageError
            The file cannot be read or scaled.
        """
        *_, picture = in_one_profile([*sources, self._read(name, path, (), sources)])
        return self._noted(picture)

    def _read(
        self,
        name: str,
        path: str | os.PathLike[str],
        records: Sequence[Recorded],
        sources: Sequence[Picture] = (),
    ) -> Picture:
        if name in self.said:
            return read_picture(path, self.said[name], name, masks=True)
        own = recorded(path)
        if own is not None:
            picture = read_picture(path, own.output, name, masks=True)
            if picture.dtype.name == own.dtype:  # or the file is another, of an old record's name
                return picture
        told = _told(path, records)
        if len(told) > 1:
            raise ImageError(
                f"{path}: records tell different ranges of it: say --range {name}:LO,HI"
            )
        if told:
            return read_picture(path, told.pop(), name, masks=True)
        picture = read_picture(path, None, name, masks=True)
        if not _by_convention(picture):
            return picture
        shared = shared_range(picture, sources)
        if shared is not None:
            return read_picture(path, shared, name, masks=True)
        low, high = picture.extremes
        # One grey everywhere, not too dark, and black are what they are in any range.
        if picture.narrow_note is not None and (low < high or 0 < high < picture.high / 8):
            raise ImageError(
                f"{path}: {picture.dtype} values from {low:g} to {high:g}, and nothing says what "
                f"they span: give --range {name}:LO,HI"
            )
        return picture

    def _noted(self, picture: Picture) -> Picture:
        self.notes |= dict.fromkeys(picture.notes)
        return picture


def parse_ranges(texts: Sequence[str], count: int, names: Sequence[str] = ()) -> dict[str, Range]:
    """Read ``--range`` options: ``K:LO,HI`` for source K of ``count``, or ``NAME:LO,HI``.

    Raises
    ------
    UsageError
        A text is of another form, or there is no such image.
    """
    said = {}
    for text in texts:
        name, _, bounds = text.rpartition(":")
        if name in names:
            said[name] = parse_bounds(bounds, text)
        elif name and not name.isdecimal():
            listed = ", ".join([f"1 to {count}", *names])
            raise UsageError(f"--range {text}: there is no {name!r}; there are {listed}")
        else:
            index, said_range = parse_range(text, count)
            said[str(index + 1)] = said_range
    return said


def recorded(path: str | os.PathLike[str]) -> Recorded | None:
    """Return what the record beside an image tells; None if there is none, or another image's."""
    content = record_of(path)
    if content is None:
        return None
    try:
        output = content["output"]
        if output.get("sha256", "") not in ("", file_sha256(path)):
            return None
        own = content["recipe"].get("stretch") is True  # a record of before ranges were its own
        return Recorded(
            str(output["dtype"]),
            _range(output["range"]),
            {
                str(entry["sha256"]): OWN if own else _range(entry["range"])
                for entry in content["inputs"]
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError, UsageError):
        return None


def _range(bounds: Any) -> Range:
    low, high = (float(bound) for bound in bounds)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(bounds)
    return low, high


def _told(path: str | os.PathLike[str], records: Sequence[Recorded]) -> set[ValueRange]:
    """Return what the records of results tell of a source."""
    if not records:
        return set()
    try:
        digest = file_sha256(path)
    except UsageError:
        return set()  # who reads it says what is wrong with it
    return {record.inputs[digest] for record in records if digest in record.inputs}


def _by_convention(picture: Picture) -> bool:
    """Whether a picture's range is that of its deep integer type, and nothing else."""
    deep = picture.dtype.kind in "ui" and picture.dtype.itemsize > 1
    span = (picture.low, picture.high)
    return deep and not picture.explicit_range and span == full_scale(picture.dtype)


def shared_range(picture: Picture, sources: Sequence[Picture]) -> Range | None:
    """Return the range that all sources have been given, if a result of their type fits it too."""
    spans = {(source.dtype, source.low, source.high) for source in sources}
    if len(spans) != 1:
        return None
    dtype, low, high = spans.pop()
    least, greatest = picture.extremes
    fits = dtype == picture.dtype and low <= least and greatest <= high
    return (low, high) if fits and (low, high) != full_scale(dtype) else None
