"""Going through tables: what is kept is taken, what is missing is fused and measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import FusionkitError
from ..photographs import Pixels, luma_of_pixels
from ..scores import Column, Scores
from .fingerprint import combined
from .methods import Method
from .scenes import BenchScene
from .store import Store, key_of
from .views import View

Cost = tuple[float | None, float | None]
"""Seconds and NFE."""


@dataclass(frozen=True, eq=False)
class Table:
    """Methods as rows, and the columns of a view once for every group of scenes.

    Groups are what a row is measured on side by side, such as numbers of sources or noise
    levels, by a label that the columns carry; their scenes have the same names.
    """

    kind: str
    title: str
    about: str
    groups: dict[str, list[BenchScene]]
    methods: list[Method]
    view: View


@dataclass(eq=False)
class Outcome:
    """A table with its values.

    ``costs`` are the means over scenes, by method, one for each group. ``missing`` says which
    methods could not be run, and why; ``parts`` which part a scene belongs to.
    """

    table: Table
    scores: Scores
    costs: dict[str, list[Cost]]
    missing: dict[str, str]
    parts: dict[str, str] = field(default_factory=dict)


class Runner:
    """Runs tables, keeping every result in a store.

    Parameters
    ----------
    store
        Where results are.
    any_code
        Take what is kept even if the code has changed since.
    """

    def __init__(self, store: Store, any_code: bool = False) -> None:
        self.store = store
        self.any_code = any_code

    def run(self, table: Table, progress: Callable[[str], None] | None = None) -> Outcome:
        """Run a table; what fails is a problem in its scores, tried again by the next call."""
        missing = {m.name: why for m in table.methods if (why := m.missing()) is not None}
        methods = [method for method in table.methods if method.name not in missing]
        scenes = [scene for group in table.groups.values() for scene in group]
        names = list(dict.fromkeys(scene.name for scene in scenes))
        columns = [column for label in table.groups for column in labelled(table.view, label)]
        scores = Scores.empty([method.name for method in methods], names, columns)
        values: dict[tuple[str, str], dict[str, list[float]]] = {}
        costs: dict[str, list[Cost]] = {method.name: [] for method in methods}
        for label, group in table.groups.items():
            spent: dict[str, list[Cost]] = {method.name: [] for method in methods}
            for scene in group:
                for method, kept in self._scene(table, methods, scene, scores.problems):
                    of_scene = values.setdefault((method, scene.name), {})
                    for name, value in kept["views"][table.view.key]["values"].items():
                        of_scene.setdefault(_labelled(name, label), []).append(value)
                    spent[method].append((kept["seconds"], kept["nfe"]))
                    if progress is not None:
                        progress(f"{table.title}: {scene.name}, {method}")
            for method_name, each in spent.items():
                costs[method_name].append(_mean_cost(each))
        for (method_name, scene_name), found in values.items():
            scores.set(method_name, scene_name, {k: float(np.mean(v)) for k, v in found.items()})
        parts = {scene.name: scene.part for scene in scenes}
        return Outcome(table, scores, costs, missing, parts)

    def _scene(
        self, table: Table, methods: Sequence[Method], scene: BenchScene, problems: list[str]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for method in methods:
            try:
                # Without noise, what a method does against it is not needed.
                run = method if scene.noisy else method.plain
                kept = self._measured(table, run, scene)
            except FusionkitError as error:
                problems.append(f"{table.title}: {method.name}, {scene.name}: {error}")
                continue
            failed = kept["views"][table.view.key]["problems"]
            problems += [
                f"{table.title}: {method.name}, {scene.name}: {column}: {why}"
                for column, why in failed.items()
            ]
            yield method.name, kept
        for made in (scene, scene.clean):
            if made is not None:
                made.forget()

    def _measured(self, table: Table, method: Method, scene: BenchScene) -> dict[str, Any]:
        """Return the kept result of a method on a scene, measured by the table's view."""
        view = table.view
        key, kept = self._fused(method, scene)
        held = kept["views"].get(view.key)
        if held is not None and self._fresh(held, view.code) and _holds(held, view):
            return kept
        pixels = self._pixels(method, scene, kept)
        reference = scene.made.truth
        if scene.clean is not None:
            _, clean = self._fused(method.plain, scene.clean)
            reference = luma_of_pixels(self._pixels(method.plain, scene.clean, clean))
        values, failed = view.measure(pixels, scene.made, reference)
        asked = [column.name for column in view.columns]
        kept["views"][view.key] = {
            "code": view.code,
            "asked": asked,
            "values": values,
            "problems": failed,
        }
        if not failed:
            self.store.write(key, kept)
        return kept

    def _fused(self, method: Method, scene: BenchScene) -> tuple[str, dict[str, Any]]:
        """Return the key and kept result of a fusion, made now if there is none."""
        about = {"method": method.record(scene), "scene": dict(scene.record)}
        key, code = key_of(about), combined(method.code, scene.code)
        kept = self.store.read(key)
        if kept is not None and self._fresh(kept, code):
            return key, kept
        fusion = method.fuse(scene, scene.made)
        image = None
        if method.keeps:
            image = self.store.write_image(
                fusion.pixels, scene.name, _short(scene), f"{method.name}-{key[:6]}"
            )
        kept = {
            "name": method.name,
            "scene": scene.name,
            **about,
            "code": code,
            "seconds": None if fusion.seconds is None else round(fusion.seconds, 4),
            "nfe": fusion.nfe,
            "image": image,
            "views": {},
        }
        self.store.write(key, kept)
        return key, kept

    def _pixels(self, method: Method, scene: BenchScene, kept: dict[str, Any]) -> Pixels:
        found = self.store.read_image(kept["image"])
        return method.fuse(scene, scene.made).pixels if found is None else found

    def _fresh(self, kept: dict[str, Any], code: str) -> bool:
        return self.any_code or kept.get("code") == code


def labelled(view: View, label: str) -> list[Column]:
    """Return the columns of a view for a group: ``psnr`` of the group ``K 3`` is ``psnr K 3``."""
    return [
        Column(_labelled(c.name, label), c.higher_is_better, c.convention, c.summed)
        for c in view.columns
    ]


def _labelled(name: str, label: str) -> str:
    return f"{name} {label}" if label else name


def _holds(held: dict[str, Any], view: View) -> bool:
    """Whether what was measured has been asked for by this view's columns, or a longer list."""
    return set(held.get("asked", ())) >= {column.name for column in view.columns}


def _short(scene: BenchScene) -> str:
    """Return what tells scenes of one name apart, for a folder's name."""
    record = scene.record
    noise = record.get("noise")
    words = [record.get("family") or record["set"], record.get("count", ""), f"seed-{scene.seed}"]
    if record.get("grey"):
        words.append("grey")
    if noise:
        words += [noise["kind"], noise["where"], f"{noise['sigma']:g}"]
    return "-".join(str(word) for word in words if word != "")


def _mean_cost(spent: Sequence[Cost]) -> Cost:
    means = []
    for place in (0, 1):
        known = [cost[place] for cost in spent]
        numbers = [value for value in known if value is not None]
        means.append(math.fsum(numbers) / len(numbers) if numbers else None)
    return means[0], means[1]
