"""``fusionkit detect``: run a detector over the results of methods, and compare with boxes."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from fusionkit import CommandParser, FusionkitError, UsageError, number_of, visible
from fusionkit.imaging import EXTENSIONS, read_picture

from .boxes import Boxes, Truth, read_truth
from .detector import MOST_PIXELS, Detector
from .precision import Found, found

_ABOUT = "Score fused images by what a detector of yours finds in them."

_EXAMPLES = """\
The detector is an ONNX file with one output (1, 4 + classes, N), as YOLO v8 and later export it;
boxes are a folder of YOLO's text files, one for each image, or a JSON file as COCO has it. All
methods are scored on the images that all of them have.

examples:
  fusionkit detect fused/ --detector yolo.onnx --boxes labels/
  fusionkit detect --method ours=fused/ --method visible=vi/ --detector yolo.onnx --boxes coco.json
  fusionkit detect fused/ --detector yolo.onnx --boxes labels/ --classes 0=0,2=1 --json
"""


def parser() -> CommandParser:
    """Return the parser of the command."""
    made = CommandParser(prog="fusionkit detect", description=_ABOUT, epilog=_EXAMPLES)
    add = made.add_argument
    add("fused", nargs="?", type=Path, metavar="FUSED", help="a folder of fused images")
    add("--method", action="append", default=[], metavar="NAME=FOLDER", help="several, to compare")
    add("--detector", type=Path, required=True, metavar="FILE.onnx", help="the detector")
    add("--boxes", type=Path, required=True, metavar="PATH", help="where things truly are")
    add(
        "--classes",
        metavar="D=T,...",
        help="class D of the detector is class T of the boxes, "
        "and the others do not count (default: they are the same)",
    )
    add(
        "--confidence",
        type=float,
        default=0.25,
        metavar="P",
        help="for recall and precision: detections of this score or more (default: 0.25)",
    )
    add(
        "--size",
        type=int,
        metavar="N",
        help="side of the detector's input in pixels, where its file leaves it open "
        "(default: what it was exported for, if it says so, else 640)",
    )
    add("--json", action="store_true", help="print everything, for programs")
    add("--quiet", action="store_true", help="no progress bar")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command; return 1 if an image could not be scored.

    Raises
    ------
    UsageError
        A flag is wrong, or a file that it names.
    """
    given = parser().parse_args(arguments)
    if not 0 < given.confidence <= 1:
        raise UsageError(f"--confidence {given.confidence:g}: above 0, and 1 at most")
    if given.size is not None and not 32 <= given.size <= MOST_PIXELS:
        raise UsageError(f"--size {given.size}: 32 to {MOST_PIXELS} pixels")
    problems: list[str] = []
    truth = read_truth(given.boxes)
    methods = {n: _images(folder, problems) for n, folder in _methods(given).items()}
    names = _common(methods, truth, problems)
    classes = _classes(given.classes)
    detector = Detector(given.detector, given.size)
    seen: dict[str, dict[str, tuple[Boxes, Boxes]]] = {name: {} for name in methods}
    hidden = given.quiet or not sys.stderr.isatty()
    for name in tqdm(names, unit="scene", leave=False, disable=hidden):
        for method, images in methods.items():
            try:
                seen[method][name] = _compared(detector, images[name], truth[name], classes)
            except FusionkitError as error:
                problems.append(f"{method}, {name}: {error}")
    # A method is not to gain by an image that could not be scored.
    whole = [name for name in names if all(name in of_method for of_method in seen.values())]
    if sum(len(true.scores) for n in whole for _, true in [next(iter(seen.values()))[n]]) == 0:
        problems.append("there is no box in any image that could be scored")
    else:
        scores = {
            method: found([of_method[name] for name in whole], given.confidence)
            for method, of_method in seen.items()
        }
        print(_as_json(scores, whole) if given.json else _as_text(scores, whole, given.confidence))
    for problem in problems:
        print(visible(f"fusionkit: error: {problem}"), file=sys.stderr)
    return 1 if problems else 0


def _methods(given: Any) -> dict[str, Path]:
    methods = {} if given.fused is None else {"fused": given.fused}
    for text in given.method:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise UsageError(f"--method {text}: expected NAME=FOLDER")
        if name in methods:
            raise UsageError(f"--method {name} is given twice")
        methods[name] = Path(path)
    if not methods:
        raise UsageError("say what to look at: a folder of fused images, or --method NAME=FOLDER")
    return methods


def _images(folder: Path, problems: list[str]) -> dict[str, Path]:
    """Return the images of a folder by stem, but no maps of results, ``STEM.std.tif``."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS)
    except OSError as error:
        raise UsageError(f"{folder} is not a folder of images: {error.strerror}") from None
    images: dict[str, list[Path]] = {}
    for path in paths:
        if not path.name.startswith(".") and os.path.isfile(path):
            images.setdefault(path.stem, []).append(path)
    for stem in list(images):
        parts = stem.split(".")
        if any(".".join(parts[:count]) in images for count in range(1, len(parts))):
            del images[stem]
    if not images:
        raise UsageError(f"{folder}: there are no images in it")
    doubled = {stem: found for stem, found in images.items() if len(found) > 1}
    problems += [
        f"{folder} holds {' and '.join(path.name for path in found)}: keep one of them"
        for found in doubled.values()
    ]
    return {stem: found[0] for stem, found in images.items() if stem not in doubled}


def _common(
    methods: Mapping[str, Mapping[str, Path]], truth: Truth, problems: list[str]
) -> list[str]:
    """Return the images that all methods have and whose boxes are known."""
    names = sorted(set().union(*methods.values()))
    for name in names:
        if name not in truth:
            problems.append(f"{name}: no boxes of this name; a file without lines says none")
        else:
            lacking = [method for method, images in methods.items() if name not in images]
            problems += [f"{method}, {name}: no image of this name" for method in lacking]
    return [n for n in names if n in truth and all(n in images for images in methods.values())]


def _classes(text: str | None) -> dict[int, int] | None:
    if text is None:
        return None
    classes: dict[int, int] = {}
    for pair in text.split(","):
        detected, equals, true = pair.partition("=")
        if not (equals and detected.strip().isdecimal() and true.strip().isdecimal()):
            raise UsageError(f"--classes {text}: expected pairs of numbers: 0=0,2=1")
        if classes.setdefault(int(detected), int(true)) != int(true):
            raise UsageError(f"--classes {text}: class {int(detected)} is two classes")
    return classes


def _compared(
    detector: Detector, path: Path, truth: Any, classes: Mapping[int, int] | None
) -> tuple[Boxes, Boxes]:
    """Return what is seen in an image, and what is there."""
    shown = np.atleast_3d(read_picture(path).unit())
    pixels = np.rint(255 * np.broadcast_to(shown, (*shown.shape[:2], 3))).astype(np.uint8)
    seen = detector(pixels)
    if classes is not None:
        seen = seen.where(np.isin(seen.classes, list(classes)))
        named = np.array([classes[kind] for kind in seen.classes.tolist()], np.int64)
        seen = Boxes(seen.corners, named, seen.scores)
    height, width = pixels.shape[:2]
    return seen, truth(width, height)


def _as_text(scores: Mapping[str, Found], names: Sequence[str], confidence: float) -> str:
    kinds = list(next(iter(scores.values())).by_class)
    things = next(iter(scores.values())).things
    heads = ["method", "mAP50", *(f"class {kind}" for kind in kinds), "recall", "precision"]
    rows = [heads] + [
        [method, *map(_number, (one.mean, *one.by_class.values(), one.recall, one.precision))]
        for method, one in scores.items()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    note = (
        f"{number_of(things, 'thing')} in {number_of(len(names), 'image')}; average precision at "
        f"IoU 0.5, 101 recalls, over all images; recall and precision of detections of "
        f"{confidence:g} or more"
    )
    return "\n".join([*lines, "", note])


def _as_json(scores: Mapping[str, Found], names: Sequence[str]) -> str:
    told = {
        method: {
            "map50": one.mean,
            "ap50": {str(kind): value for kind, value in one.by_class.items()},
            "recall": one.recall,
            "precision": None if math.isnan(one.precision) else one.precision,
            "things": one.things,
        }
        for method, one in scores.items()
    }
    return json.dumps({"images": list(names), "methods": told}, indent=1)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
