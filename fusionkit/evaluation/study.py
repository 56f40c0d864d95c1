"""A study: what is run. Its folder is :mod:`.folder`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .origins import Origins, key_of
from .presets import trivial_names
from .variants import Variant

MAP_SIDE = 160
"""Longest side in pixels of the weight maps that are kept."""


@dataclass(frozen=True)
class Cell:
    """One recipe with one seed, or a trivial fusion, which has neither.

    The key is made of the recipe, and of the code, versions and option files that it runs with.
    ``levels`` are the values of the axes at this point of the study; baselines have none.
    """

    key: str
    variant: str
    label: str
    role: str
    seed: int
    recipe: Mapping[str, Any]
    levels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """What an ablation runs. Kept as ``study.json``.

    Attributes
    ----------
    scenes
        The paths of the sources of each scene.
    metrics
        What is measured.
    cells
        What is run.
    reference
        The variant that differences are taken from, by label.
    axes
        The flags that were given several values.
    options
        Options by metric.
    ranges, stretch
        The value ranges of the sources, as ``--range`` says them, and ``--stretch``.
    hashes
        The SHA-256 of the sources of each scene.
    measured
        A key of the code, versions and options of what measures.
    """

    scenes: Mapping[str, Sequence[str]]
    metrics: Sequence[str]
    cells: Sequence[Cell]
    reference: str
    axes: Sequence[str] = ()
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ranges: Sequence[str] = ()
    stretch: Sequence[int] = ()
    hashes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    measured: str = ""

    def key(self, cell: Cell, scene: str) -> str:
        """Return a key of everything that the line of a cell and a scene depends on."""
        return key_of(cell.key, list(self.hashes.get(scene, ())), self.measured)


@dataclass(frozen=True)
class Loading:
    """Which plugins a worker process loads."""

    disabled: tuple[str, ...] = ()
    inline: tuple[str, ...] = ()


def cells_of(
    variants: Sequence[Variant], seeds: Sequence[int], origins: Origins, sources: int = 0
) -> list[Cell]:
    """Return the cells of variants and seeds.

    For ``sources`` above 0, with the trivial fusions and each of so many sources by itself.
    """
    cells = [
        Cell(
            key_of(variant.seeded(seed), origins.of_recipe(variant.recipe)),
            variant.key,
            variant.label,
            variant.role,
            seed,
            variant.seeded(seed),
            variant.levels,
        )
        for variant in variants
        for seed in seeds
    ]
    if sources:
        cells += [
            Cell(name.replace(" ", "-"), name, name, "no denoiser", 0, {})
            for name in trivial_names(sources)
        ]
    return cells


def study_of(content: Any) -> Study:
    """Return the study that JSON holds.

    Raises
    ------
    ValueError
        It holds none, or not a whole one.
    """
    held = _strict(content, Study)
    scenes, hashes = _texts(held["scenes"]), _texts(held["hashes"])
    if not scenes or not all(scenes.values()):
        raise ValueError("it has no scenes")
    cells = [Cell(**_strict(cell, Cell)) for cell in held["cells"]]
    for cell in cells:
        if not all(isinstance(level, str) for level in cell.levels.values()):
            raise ValueError(f"levels are {cell.levels!r:.40}")
        if Path(cell.key).name != cell.key or "\\" in cell.key:  # it names a folder
            raise ValueError(f"{cell.key!r} is no key of a cell")
    for name in ("metrics", "axes", "ranges"):
        if not all(isinstance(each, str) for each in held[name]):
            raise ValueError(f"{name} are not names")
    return Study(**{**held, "scenes": scenes, "hashes": hashes, "cells": cells})


_JSON_TYPES = {"str": str, "int": int, "bool": bool, "Mapping": dict, "Sequence": list}


def _strict(content: Any, wanted: type) -> dict[str, Any]:
    """Return the fields of a dataclass from JSON, each of the type that it is written as."""
    types = {each.name: _JSON_TYPES[str(each.type).partition("[")[0]] for each in fields(wanted)}
    if not isinstance(content, dict) or set(content) != set(types):
        raise ValueError(f"it does not hold {', '.join(types)}")
    for name, kind in types.items():
        if type(content[name]) is not kind:
            raise ValueError(f"{name} is {content[name]!r:.40}")
    return content


def _texts(content: dict[str, Any]) -> dict[str, list[str]]:
    for name, listed in content.items():
        if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
            raise ValueError(f"{name} has {listed!r:.40}")
    return content
