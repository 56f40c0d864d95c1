"""Boxes of things in images, and the files that tell where things truly are."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit import UsageError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Boxes:
    """Things in one image.

    Attributes
    ----------
    corners
        (n, 4) float64: left, top, right, bottom in pixels, from the corner of the first pixel.
    classes
        (n,) int64.
    scores
        (n,) float64 in [0, 1]: how sure a detector is; 1 of what is true.
    """

    corners: Array
    classes: NDArray[np.int64]
    scores: Array

    def where(self, chosen: NDArray[Any]) -> Boxes:
        """Return some of them: an index, or a mask, (n,)."""
        return Boxes(self.corners[chosen], self.classes[chosen], self.scores[chosen])


Truth = dict[str, Callable[[int, int], Boxes]]
"""By the stem of an image, its boxes for its width and height in pixels."""


def read_truth(path: Path) -> Truth:
    """Read boxes: a folder of YOLO's text files, or a JSON file as COCO has it.

    Raises
    ------
    UsageError
        There are none, or a file does not say boxes.
    """
    truth = _of_yolo(path) if path.is_dir() else _of_coco(path)
    if not truth:
        raise UsageError(f"--boxes {path}: there are no boxes in it")
    return truth


def overlaps(first: Array, second: Array) -> Array:
    """Intersection over union of corners (n, 4) and (m, 4): (n, m) in [0, 1]."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low).clip(0).prod(-1)
    areas = [(corners[:, 2:] - corners[:, :2]).clip(0).prod(-1) for corners in (first, second)]
    union = areas[0][:, None] + areas[1] - shared
    share: Array = shared / np.where(union > 0, union, 1)
    return share


def _boxes(rows: list[tuple[int, float, float, float, float]]) -> Boxes:
    table = np.array(rows, np.float64).reshape(-1, 5)
    return Boxes(table[:, 1:], table[:, 0].astype(np.int64), np.ones(len(rows)))


def _of_yolo(folder: Path) -> Truth:
    truth: Truth = {}
    for file in sorted(folder.glob("*.txt")):
        if file.stem == "classes":  # the names, which labelling tools write beside
            continue
        truth[file.stem] = _scaled(_lines(file))
    return truth


def _scaled(shares: Boxes) -> Callable[[int, int], Boxes]:
    def sized(width: int, height: int) -> Boxes:
        corners = shares.corners * np.array([width, height, width, height])
        return Boxes(corners, shares.classes, shares.scores)

    return sized


def _lines(file: Path) -> Boxes:
    """Read ``class x y width height`` a line, centres and sizes as shares of the image's."""
    rows = []
    for number, line in enumerate(_text(file).splitlines(), 1):
        if not line.strip():
            continue
        try:
            name, *shares = line.split()
            kind, (x, y, width, height) = int(name), map(float, shares)
        except ValueError:
            raise UsageError(
                f"{file}, line {number}: expected five numbers: class x y width height"
            ) from None
        if kind < 0 or not all(0 <= share <= 1 for share in (x, y, width, height)):
            raise UsageError(
                f"{file}, line {number}: x, y, width and height are shares of the image, 0 to 1"
            )
        rows.append((kind, x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    return _boxes(rows)


def _of_coco(file: Path) -> Truth:
    try:
        told = json.loads(_text(file))
        stems = {image["id"]: PurePosixPath(image["file_name"]).stem for image in told["images"]}
        rows: dict[str, list[tuple[int, float, float, float, float]]]
        rows = {stem: [] for stem in stems.values()}
        if len(rows) < len(stems):
            raise UsageError(f"{file}: two images have one name without their folders")
        for each in told["annotations"]:
            if each.get("iscrowd"):
                continue
            x, y, width, height = map(float, each["bbox"])
            if not all(map(math.isfinite, (x, y, width, height))) or min(width, height) < 0:
                raise ValueError("bbox is x, y, width and height in pixels")
            box = int(each["category_id"]), x, y, x + width, y + height
            rows[stems[each["image_id"]]].append(box)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise UsageError(f"{file}: this is no COCO file of boxes ({why})") from None
    return {stem: _fixed(_boxes(found)) for stem, found in rows.items()}


def _fixed(boxes: Boxes) -> Callable[[int, int], Boxes]:
    return lambda width, height: boxes


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise UsageError(f"{file}: it cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file}: this is no text") from None
