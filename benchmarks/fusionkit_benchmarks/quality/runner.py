"""Going through tables: what is kept is taken, what is missing is fused and measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fusionkit.errors import FusionkitError
from fusionkit.evaluation.scores import Column, Scores
from fusionkit.host.fingerprint import combined
from fusionkit.ops.threads import one_thread

from ..photographs import Pixels, luma_of_pixels
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
    parts_of: str | None = None
    """The recipe whose variants the other rows are, if they are."""

    @property
    def scenes(self) -> list[BenchScene]:
        """The scenes of all groups."""
        return [scene for group in self.groups.values() for scene in group]


@dataclass(frozen=True)
class Result:
    """What came of one method on one scene; no cost if nothing did, and why as problems."""

    label: str
    method: str
    values: Mapping[str, float] = field(default_factory=dict)
    cost: Cost | None = None
    problems: tuple[str, ...] = ()


Work = Callable[[Sequence[str]], Iterator[tuple[str, list[Result]]]]
"""Goes through the scenes of some names, in any order."""


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

    def run(
        self, table: Table, work: Work | None = None, progress: Callable[[str], None] | None = None
    ) -> Outcome:
        """Run a table; what fails is a problem in its scores, tried again by the next call.

        ``work`` goes through the scenes of these names, in any order: by :meth:`scenes` of
        another runner of the same store, or, by default, of this one.
        """
        missing = {m.name: why for m in table.methods if (why := m.missing()) is not None}
        names = list(dict.fromkeys(scene.name for scene in table.scenes))
        results: dict[str, list[Result]] = {}
        for name, found in work(names) if work else ((n, self.scenes(table, n)) for n in names):
            results[name] = found
            if progress is not None:
                for result in found:
                    progress(f"{table.title}: {name}, {result.method}")
        return _outcome(table, missing, {name: results[name] for name in names})

    def scenes(self, table: Table, name: str) -> list[Result]:
        """Run every method on the scenes of one name, those of all groups and seeds.

        Scenes of different names share nothing that is kept: they can be run side by side.
        """
        methods = [method for method in table.methods if method.missing() is None]
        results = []
        with one_thread():
            for label, group in table.groups.items():
                for scene in group:
                    if scene.name == name:
                        results += [self._attempt(table, m, scene, label) for m in methods]
                        for made in (scene, scene.clean):
                            if made is not None:
                                made.forget()
        return results

    def _attempt(self, table: Table, method: Method, scene: BenchScene, label: str) -> Result:
        about = f"{table.title}: {method.name}, {scene.name}"
        try:
            # Without noise, what a method does against it is not needed.
            kept = self._measured(table, method if scene.noisy else method.plain, scene)
        except FusionkitError as error:
            return Result(label, method.name, problems=(f"{about}: {error}",))
        held = kept["views"][table.view.key]
        problems = tuple(f"{about}: {column}: {why}" for column, why in held["problems"].items())
        cost = kept["seconds"], kept["nfe"]
        return Result(label, method.name, held["values"], cost, problems)

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
            _, clean = self._fused(method.reference, scene.clean)
            reference = luma_of_pixels(self._pixels(method.reference, scene.clean, clean))
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


def _outcome(
    table: Table, missing: dict[str, str], results: Mapping[str, Sequence[Result]]
) -> Outcome:
    """Return a table with the results of its scenes, by name, each in the order of the groups."""
    methods = [method.name for method in table.methods if method.name not in missing]
    columns = [column for label in table.groups for column in labelled(table.view, label)]
    scores = Scores.empty(methods, list(results), columns)
    values: dict[tuple[str, str], dict[str, list[float]]] = {}
    spent: dict[tuple[str, str], list[Cost]] = {}
    for name, found in results.items():
        for result in found:
            scores.problems += result.problems
            if result.cost is None:
                continue
            of_scene = values.setdefault((result.method, name), {})
            for column, value in result.values.items():
                of_scene.setdefault(_labelled(column, result.label), []).append(value)
            spent.setdefault((result.method, result.label), []).append(result.cost)
    for (method, name), each in values.items():
        scores.set(method, name, {k: float(np.mean(v)) for k, v in each.items()})
    costs = {m: [_mean_cost(spent.get((m, label), ())) for label in table.groups] for m in methods}
    parts = {scene.name: scene.part for scene in table.scenes}
    return Outcome(table, scores, costs, missing, parts)


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
