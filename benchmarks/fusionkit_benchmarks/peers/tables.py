"""On which scenes peers and recipes are compared, and what stands in the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fusionkit.contract.registry import Registry
from fusionkit.evaluation.presets import RANKINGS, trivial_names
from fusionkit.host.parts import Part
from fusionkit.recipes.finding import DEFAULT_TASK, Layer, task_recipe

from ..photographs import Photograph, middle_of
from ..quality.methods import Method, Oracle, Trivial
from ..quality.published import PublishedSet, published_sets
from ..quality.recipes import Recipe
from ..quality.runner import Table
from ..quality.scenes import BenchScene, truth_scenes
from ..quality.tables import ABOUT, FITTING
from ..quality.views import AgainstSources, AgainstTruth
from ..truth import Defocus
from .installed import Installed
from .rows import PeerRow, RecipeRow


@dataclass(frozen=True)
class Asked:
    """What is asked for.

    Attributes
    ----------
    families, counts
        The scenes with a known answer, and of how many sources; a table for each.
    photographs
        What they are made of.
    size
        Side of the middle of a photograph that is taken, in pixels, at most; None for all of it.
    blurs
        Of focus stacks, side by side in a table.
    data, sets
        The folder of published sets, if there is one, and which of them; None for all.
    recipes
        In every table beside ``general`` and the recipe that suits it.
    seed
        Of scenes and recipes.
    limit
        The first scenes of every set only.
    """

    families: Sequence[str]
    counts: Sequence[int]
    photographs: Mapping[str, Photograph]
    size: int | None
    blurs: Sequence[Defocus]
    data: Path | None
    sets: Sequence[str] | None
    recipes: Mapping[str, Layer]
    seed: int
    limit: int | None


class PeerTables:
    """The tables, in order."""

    def __init__(self, asked: Asked, peers: Sequence[Installed], registry: Registry) -> None:
        self.asked, self.registry = asked, registry
        self._peers = peers
        self._built: dict[str, Part] = {}
        found = published_sets(asked.data, asked.sets) if asked.data is not None else []
        self._sets = [each for each in found if each.family]

    def __iter__(self) -> Iterator[Table]:
        for family in self.asked.families:
            for count in self.asked.counts:
                yield self._truth(family, count)
        for found in self._sets:
            yield self._published(found)

    def _truth(self, family: str, count: int) -> Table:
        groups = (
            {f"{blur.kernel}": self._scenes(family, count, blur) for blur in self.asked.blurs}
            if family == "focus"
            else {"": self._scenes(family, count, Defocus())}
        )
        methods = self._methods(family, FITTING[family], count)
        if family != "exposure":
            methods.append(Oracle())
        view = AgainstTruth(self.registry, fit=family != "focus")
        title = f"Truth, {family}, K = {count}"
        return Table("truth", title, ABOUT[family], groups, methods, view)

    def _published(self, found: PublishedSet) -> Table:
        scenes = found.bench_scenes([self.asked.seed], self.asked.limit, None)
        count = min(scene.count for scene in scenes)
        methods = self._methods(found.family, found.recipe, count)
        names = [*RANKINGS["rank9"], "nabf"]
        if found.family == "exposure":
            names.append("mef-ssim")
        view = AgainstSources(names, self.registry)
        return Table("published", found.name, "All fused here.", {"": scenes}, methods, view)

    def _methods(self, family: str | None, task: str | None, count: int) -> list[Method]:
        fitting = dict.fromkeys((DEFAULT_TASK, task or DEFAULT_TASK))
        layers = {**{name: task_recipe(name) for name in fitting}, **self.asked.recipes}
        recipes = [
            RecipeRow(Recipe(name, layer, self.registry, self._built))
            for name, layer in layers.items()
        ]
        peers = [
            PeerRow(found, way)
            for found in self._peers
            for way in found.peer.ways
            if way.family == ("focus" if family == "focus" else "exposure")
        ]
        return [*recipes, *peers, *map(Trivial, trivial_names(count))]

    def _scenes(self, family: str, count: int, blur: Defocus) -> list[BenchScene]:
        asked = self.asked
        chosen = dict(list(asked.photographs.items())[: asked.limit])
        if asked.size is not None:
            chosen = {name: partial(middle_of, read, asked.size) for name, read in chosen.items()}
        return truth_scenes(chosen, family, count, [asked.seed], defocus=blur)
