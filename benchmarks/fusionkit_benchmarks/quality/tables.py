"""Which tables there are, and what stands in their rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fusionkit.contract.registry import Registry
from fusionkit.evaluation.presets import RANKINGS, TRIVIAL, source_names
from fusionkit.host.parts import Part
from fusionkit.recipes.finding import DEFAULT_TASK, task_recipe

from ..photographs import Photograph
from ..truth import COUNTS, FAMILIES, NOISES, UNMASKED, Defocus, Noise
from .denoised import DenoiseFirst, Denoiser
from .methods import External, Method, Oracle, Published, Trivial
from .parts import variants
from .published import PublishedSet, published_sets
from .recipes import Cascade, NoiseAuto, Recipe
from .runner import Table
from .scenes import BenchScene, noisy_scenes, truth_scenes
from .tools import TOOLS
from .views import AgainstSources, AgainstTruth, View

KINDS = ("truth", "noise", "published")
FOREGROUND = 2.0
"""Grey level above which a pixel of a medical image is no ground."""


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    Attributes
    ----------
    kinds
        Of ``truth``, ``noise`` and ``published``.
    photographs
        What scenes are made of.
    families, counts
        Which, and of how many sources.
    defocus
        The blur of focus stacks.
    noises
        What noise; noisy scenes have two sources, in grey.
    data, sets, noisy_sets
        The folder of published sets, which of them (None: all), and which get noise.
    foreground
        For medical sets.
    recipes
        Name to recipe layer; in every table.
    fitting
        Add ``general``, and to each table the recipe of fusionkit's own that suits it.
    cascades
        Add every recipe pair by pair, in both orders, where there are more than two sources.
    parts
        After each table, another one for each of its recipes, with that recipe's variants.
    seeds
        Of scenes and methods; averaged.
    limit, part
        The first scenes of every set only, and those of one part only.
    """

    kinds: Sequence[str] = KINDS
    photographs: Mapping[str, Photograph] = field(default_factory=dict)
    families: Sequence[str] = FAMILIES
    counts: Sequence[int] = COUNTS
    defocus: Defocus = field(default_factory=Defocus)
    noises: Sequence[Noise] = NOISES
    data: Path | None = None
    sets: Sequence[str] | None = None
    noisy_sets: Sequence[str] = ("tno",)
    foreground: float = FOREGROUND
    recipes: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    fitting: bool = False
    cascades: bool = False
    parts: bool = False
    seeds: Sequence[int] = (0,)
    limit: int | None = None
    part: str | None = None


class Tables:
    """The tables of a plan, in order; components are built once for all of them."""

    def __init__(self, plan: Plan, registry: Registry) -> None:
        self.plan, self.registry = plan, registry
        self._built: dict[str, Part] = {}
        self.recipes: dict[str, Recipe] = {}
        """Those of the tables that there have been so far, by name."""
        self._denoisers: dict[str, Denoiser] = {}
        self._sets = published_sets(plan.data, plan.sets) if plan.data is not None else []

    def __iter__(self) -> Iterator[Table]:
        of_kind = {"truth": self._truth, "noise": self._noise, "published": self._published}
        for kind in self.plan.kinds:
            for table in of_kind[kind]():
                yield table
                if self.plan.parts:
                    yield from _parts(table)

    def _truth(self) -> Iterator[Table]:
        for family in self.plan.families:
            groups = {
                f"K={count}": self._scenes(family, count, None, in_grey=False)
                for count in self.plan.counts
            }
            methods = self._methods(family, FITTING[family], max(self.plan.counts))
            if family not in UNMASKED:
                methods.append(Oracle())
            view = AgainstTruth(self.registry, fit=family != "focus")
            yield Table("truth", f"Truth, {family}", ABOUT[family], groups, methods, view)

    def _noise(self) -> Iterator[Table]:
        view = AgainstTruth(self.registry)
        for kind, where in dict.fromkeys((noise.kind, noise.where) for noise in self.plan.noises):
            noises = [n for n in self.plan.noises if (n.kind, n.where) == (kind, where)]
            title = f"{kind} noise, {'all sources' if where == 'all' else 'first source only'}"
            for family in self.plan.families:
                groups = {"clean": self._scenes(family, 2, None, in_grey=True)}
                for noise in noises:
                    groups[f"{noise.sigma:g}"] = self._scenes(family, 2, noise, in_grey=True)
                methods = self._under_noise(self._methods(family, FITTING[family]))
                about = "Two sources, in grey, against the truth, by sigma of 255."
                own = AgainstTruth(self.registry, fit=family != "focus")
                yield Table("noise", f"Noise, {family}: {title}", about, groups, methods, own)
            for found in self._sets:
                if found.name in self.plan.noisy_sets:
                    yield self._noisy_set(found, noises, title, view)

    def _noisy_set(
        self, found: PublishedSet, noises: Sequence[Noise], title: str, view: View
    ) -> Table:
        clean = found.bench_scenes(self.plan.seeds[:1], self.plan.limit, self.plan.part)
        groups = {
            f"{noise.sigma:g}": noisy_scenes(clean, noise, self.plan.seeds) for noise in noises
        }
        about = "Against each method's own result without noise, in grey, by sigma of 255."
        methods = self._under_noise(self._methods(found.family, found.recipe))
        return Table("noise", f"Noise, {found.name}: {title}", about, groups, methods, view)

    def _published(self) -> Iterator[Table]:
        for found in self._sets:
            scenes = found.bench_scenes(self.plan.seeds, self.plan.limit, self.plan.part)
            if not scenes:
                continue
            counts = [len(paths) for paths in found.scenes.values()]
            methods = self._methods(found.family, found.recipe, max(counts))
            # What copying a source is worth, by each ranking: the sources of every scene.
            methods += map(Trivial, source_names(min(counts)))
            methods += [Published(name, files) for name, files in found.peers.items()]
            names = [*RANKINGS["rank9"], "nabf"]
            if found.family == "exposure":
                names.append("mef-ssim")
            view = AgainstSources(names, self.registry)
            about = "Published images as they were published; all others as fused here."
            yield Table("published", found.name, about, {"": scenes}, methods, view)
            if found.medical:
                threshold = self.plan.foreground
                inner = AgainstSources(names, self.registry, threshold)
                about = f"Where a source exceeds {threshold:g}; ground: the mean elsewhere."
                title = f"{found.name}, foreground"
                yield Table("published", title, about, {"": scenes}, methods, inner)

    def _methods(self, family: str | None, task: str | None, count: int = 2) -> list[Method]:
        """Return the rows of a family: recipes, trivial fusions, and the tools that are for it.

        ``task`` is the recipe that suits it; ``count`` the largest number of sources.
        """
        recipes = [self._recipe(name, layer) for name, layer in self._layers(task).items()]
        wanted = "focus" if family == "focus" else "exposure" if family else None
        tools = [External(tool) for tool in TOOLS if wanted in tool.families]
        methods: list[Method] = [*recipes, *map(Trivial, TRIVIAL), *tools]
        if self.plan.cascades and count > 2:
            methods += [Cascade(recipe, order) for recipe in recipes for order in (False, True)]
        return methods

    def _layers(self, task: str | None) -> dict[str, Mapping[str, object]]:
        names = dict.fromkeys((DEFAULT_TASK, task or DEFAULT_TASK)) if self.plan.fitting else ()
        return {**{name: task_recipe(name) for name in names}, **self.plan.recipes}

    def _recipe(self, name: str, layer: Mapping[str, object]) -> Recipe:
        if name not in self.recipes:
            self.recipes[name] = Recipe(name, layer, self.registry, self._built)
        return self.recipes[name]

    def _under_noise(self, methods: Sequence[Method]) -> list[Method]:
        """Add recipes that take noise off, and every method after denoising by a network.

        Recipes are given what their own network has denoised, others the first recipe's.
        """
        first = next((method for method in methods if isinstance(method, Recipe)), None)
        if first is None:
            return list(methods)
        added: list[Method] = [
            NoiseAuto(method)
            for method in methods
            if isinstance(method, Recipe) and not method.recipe.get("preparations")
        ]
        for method in methods:
            owner = method if isinstance(method, Recipe) else first
            added.append(DenoiseFirst(method, self._denoiser(owner)))
        return [*methods, *added]

    def _denoiser(self, recipe: Recipe) -> Denoiser:
        key = json.dumps(recipe.recipe["estimator"], sort_keys=True)
        return self._denoisers.setdefault(key, Denoiser(recipe, self.registry, self._built))

    def _scenes(
        self, family: str, count: int, noise: Noise | None, in_grey: bool
    ) -> list[BenchScene]:
        plan = self.plan
        chosen = dict(list(plan.photographs.items())[: plan.limit])
        scenes = truth_scenes(
            chosen,
            family,
            count,
            plan.seeds,
            defocus=plan.defocus,
            noise=noise,
            in_grey=in_grey,
        )
        return [scene for scene in scenes if plan.part in (None, scene.part)]


def _parts(table: Table) -> Iterator[Table]:
    """Yield the table of each recipe with its variants, on the same scenes."""
    for recipe in table.methods:
        if isinstance(recipe, Recipe):
            yield Table(
                table.kind,
                f"{table.title}: the parts of {recipe.name}",
                f"The recipe `{recipe.name}` with one part replaced. Weightings at its own NFE, as "
                "nearly as steps allow.",
                table.groups,
                [recipe, *variants(recipe)],
                table.view,
                parts_of=recipe.name,
            )


FITTING = {
    "focus": "multi-focus",
    "exposure": "multi-exposure",
    "lighting": "multi-exposure",
    "moving": "multi-exposure",
}
"""The recipe of fusionkit's own that suits a family of scenes."""

ABOUT = {
    "focus": "Focus stacks of K layers, against the photograph in which all is sharp.",
    "exposure": "Brackets of an evenly lit scene, against the exposure halfway between two; "
    "psnr-fit after the best gain and offset.",
    "lighting": "Brackets of a scene in light and shade, against the photograph in even light.",
    "moving": "Brackets of an evenly lit scene in which a thing moves, against the exposure "
    "halfway between two, with the thing where the middle frame has it.",
}
"""What is said about the scenes of a family."""
