"""A study and its folder: what is run, and what is done.

The folder holds ``study.json`` (what is run), ``results.jsonl`` (a line per cell and
scene, appended when it is done), ``cells/KEY.json`` (recipes), ``images/KEY/SCENE.*`` and
``weights/KEY/SCENE.png`` (weight maps, steps downwards, sources across).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..imaging import write_text
from .baselines import BASELINES
from .plan import Variant, recipe_key

MAP_SIDE = 160
"""Longest side in pixels of the weight maps that are kept."""


@dataclass(frozen=True)
class Cell:
    """One recipe with one seed, or a trivial fusion, which has neither."""

    key: str
    variant: str
    label: str
    role: str
    seed: int
    recipe: Mapping[str, Any]


@dataclass(frozen=True)
class Study:
    """What an ablation runs. Kept as ``study.json``; resuming demands the same."""

    scenes: Mapping[str, Sequence[str]]
    metrics: Sequence[str]
    cells: Sequence[Cell]
    reference: str
    """The variant that differences are taken from, by label."""


@dataclass(frozen=True)
class Loading:
    """Which plugins a worker process loads."""

    disabled: tuple[str, ...] = ()
    inline: tuple[str, ...] = ()


def cells_of(variants: Sequence[Variant], seeds: Sequence[int], trivial: bool) -> list[Cell]:
    """Return the cells of variants and seeds, and of the trivial fusions if asked for."""
    cells = [
        Cell(
            recipe_key(variant.seeded(seed)),
            variant.key,
            variant.label,
            variant.role,
            seed,
            variant.seeded(seed),
        )
        for variant in variants
        for seed in seeds
    ]
    if trivial:
        cells += [Cell(name, name, name, "no denoiser", 0, {}) for name in BASELINES]
    return cells


def read_study(folder: Path) -> Study:
    """Read the study that a folder holds; raise UsageError if it holds none."""
    try:
        content = json.loads((folder / "study.json").read_text("utf-8"))
        return Study(
            content["scenes"],
            content["metrics"],
            [Cell(**cell) for cell in content["cells"]],
            content["reference"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder} holds no study: {error}") from None


def read_results(folder: Path) -> list[dict[str, Any]]:
    """Read the finished lines; one that was cut off while it was written does not count."""
    try:
        text = (folder / "results.jsonl").read_text("utf-8")
    except FileNotFoundError:
        return []
    lines = []
    for line in text.split("\n")[:-1]:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines


def finished(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the (cell, scene) pairs that are done."""
    for line in read_results(folder):
        yield line["cell"], line["scene"]


def prepare(study: Study, folder: Path) -> None:
    """Make the folder of a study, or check that it can go on.

    Raises
    ------
    UsageError
        The folder cannot be made, or holds a study of other scenes or metrics.
    """
    try:
        folder.mkdir(exist_ok=True)
        for name in ("cells", "images", "weights"):
            (folder / name).mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: this folder cannot be made: {error.strerror}") from None
    text = json.dumps(asdict(study), indent=1, sort_keys=True) + "\n"
    held = folder / "study.json"
    if held.exists() and held.read_text("utf-8") != text:
        _extend(study, read_study(folder), folder)
    write_text(held, text, overwrite=True)
    for cell in study.cells:
        if cell.recipe:
            path = folder / "cells" / f"{cell.key}.json"
            write_text(path, json.dumps({"recipe": cell.recipe}, indent=2) + "\n", overwrite=True)
    _mend_last_line(folder / "results.jsonl")


def _extend(study: Study, held: Study, folder: Path) -> None:
    """Allow a study to grow by cells; its scenes and metrics are those of the results so far."""
    if dict(held.scenes) != {k: list(v) for k, v in study.scenes.items()}:
        raise UsageError(f"{folder} holds a study of other scenes: choose another folder")
    if list(held.metrics) != list(study.metrics):
        raise UsageError(f"{folder} holds a study with other metrics: choose another folder")


def _mend_last_line(results: Path) -> None:
    """End a line that was cut off, or the next one would be lost with it."""
    if results.exists():
        content = results.read_bytes()
        if content and not content.endswith(b"\n"):
            with open(results, "ab") as file:
                file.write(b"\n")
