"""Images of a study as data URIs, reduced so that the page stays light."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import FusionkitError
from ...imaging import from_unit, read_picture
from .rows import Row
from .summary import Summary

SIDES = (900, 640, 450, 320)
"""Longest sides in pixels; a smaller one is taken where one scene alone would be too much."""

BUDGET = 20_000_000
"""Bytes that the images of a page take at most, but for a first scene at the smallest side."""

QUALITY = 85
SHOWN_STEPS = 40
"""Steps whose weight maps are shown at most; WebP holds no longer picture of them."""


@dataclass(frozen=True)
class Gallery:
    """The scenes that fit into a page, as the page's script reads them, and their side."""

    scenes: list[dict[str, Any]]
    side: int


def gallery(summary: Summary, limit: int) -> Gallery:
    """Embed the first scenes, at most `limit`, as far as the budget goes."""
    names = summary.scenes[: max(0, limit)]
    side = SIDES[0]
    found: list[dict[str, Any]] = []
    spent = 0
    for name in names:
        scene = _scene(summary, name, side)
        while not found and _weight(scene) > BUDGET and side != SIDES[-1]:
            side = SIDES[SIDES.index(side) + 1]
            scene = _scene(summary, name, side)
        spent += _weight(scene)
        if found and spent > BUDGET:
            break
        found.append(scene)
    return Gallery(found, side)


def _scene(summary: Summary, name: str, side: int) -> dict[str, Any]:
    """Return one scene: its pictures, sources first, in the order in which the page lists them."""
    pictures: list[dict[str, Any]] = []
    problems: list[str] = []
    size: tuple[int, int] | None = None
    sources = summary.study.scenes[name]
    for number, source in enumerate(sources, start=1):
        try:
            uri, size = _embedded(Path(source), side)
        except FusionkitError as error:
            problems.append(str(error))
            continue
        pictures.append({"label": f"Source {number}: {Path(source).name}", "image": uri})
    for place, row in enumerate(summary.rows):
        line = _first_line(summary, row, name)
        if line is None:
            continue
        try:
            uri, size = _embedded(summary.folder / line["image"], side)
        except FusionkitError as error:
            problems.append(str(error))
            continue
        picture = {"label": row.label, "image": uri, "row": place, "link": quote(line["image"])}
        maps = _maps(summary.folder, line, name, len(sources))
        pictures.append(picture if maps is None else {**picture, "maps": maps})
    width, height = size or (0, 0)
    return {
        "name": name,
        "width": width,
        "height": height,
        "sources": [Path(source).name for source in sources],
        "pictures": pictures,
        "problems": problems,
    }


def _first_line(summary: Summary, row: Row, scene: str) -> Mapping[str, Any] | None:
    """Return what the first seed that is done has left; one picture a row is enough to look at."""
    done = (summary.lines.get((cell.key, scene)) for cell in row.cells)
    return next((line for line in done if line is not None and "image" in line), None)


def _embedded(path: Path, side: int) -> tuple[str, tuple[int, int]]:
    """Return an image as a data URI, and its own width and height."""
    picture = read_picture(path)
    image = Image.fromarray(from_unit(picture.unit(), np.uint8, 0, 255))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _data_uri(image), (picture.width, picture.height)


def _maps(folder: Path, line: Mapping[str, Any], scene: str, sources: int) -> dict[str, Any] | None:
    """Return the weight maps of one image: one picture, steps downwards, sources across."""
    steps = line.get("steps")
    path = folder / "weights" / line["cell"] / f"{scene}.png"
    if not isinstance(steps, int) or steps < 1 or not path.is_file():
        return None
    try:
        pixels = read_picture(path).pixels
    except FusionkitError:
        return None
    if pixels.ndim != 2 or pixels.shape[0] % steps or pixels.shape[1] % sources:
        return None  # not what a study leaves: better no maps than wrong ones
    shown = np.unique(np.linspace(0, steps - 1, min(steps, SHOWN_STEPS)).round().astype(int))
    strips: NDArray[np.uint8] = pixels.reshape(steps, -1, pixels.shape[1])[shown]
    by_source = strips.reshape(len(shown), strips.shape[1], sources, -1)
    return {
        "image": _data_uri(Image.fromarray(np.vstack(list(strips)))),
        "steps": [int(step) + 1 for step in shown],
        "of": steps,
        "width": int(by_source.shape[3]),
        "height": int(by_source.shape[1]),
        "means": (by_source.mean((1, 3)) / 255).round(3).tolist(),
    }


def _data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _weight(scene: Mapping[str, Any]) -> int:
    return sum(
        len(picture["image"]) + len(picture.get("maps", {}).get("image", ""))
        for picture in scene["pictures"]
    )
