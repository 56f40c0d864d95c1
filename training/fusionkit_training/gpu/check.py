"""On a GPU as on a CPU: every component that needs no checkpoint, compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from fusionkit import compose
from fusionkit.contract.estimator import ESTIMATOR
from fusionkit.contract.kind import Kind
from fusionkit.contract.objective import OBJECTIVE
from fusionkit.contract.options import specs
from fusionkit.contract.registry import Registry
from fusionkit.contract.sampler import SAMPLER
from fusionkit.contract.weighting import WEIGHTING
from fusionkit.errors import FusionkitError, one_line
from fusionkit.host.parts import Part
from fusionkit.host.pipeline import Pipeline
from fusionkit.testing.doubles import synthetic_sources

from .checkout import first_party
from .stage import Stage

FLOAT32 = 1e-4
"""The largest difference in float32, of values in [-1, 1]."""

BFLOAT16 = 0.5
"""The mean difference in bfloat16, in levels of 255."""

BASE = {
    ESTIMATOR: "diffusion:compact",
    WEIGHTING: "dig:dig",
    OBJECTIVE: "objectives:increments",
    SAMPLER: "samplers:ddim",
}
"""What surrounds the component that is looked at."""

CHEAP = "diffusion:gaussian"
"""The estimator of toys."""

TILE = 128

SETTINGS = {"steps": 3, "start-sigma": 1.2, "seed": 1}

Recipe = dict[str, Any]


def run(stage: Stage) -> None:
    """Compare, composition by composition, until time is over."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    checks = Checks(stage, first_party())
    checks.tiles()
    checks.batch()
    for recipe in checks.recipes:
        if stage.left() <= 0:
            stage.tell(what="out of time", composition=title(recipe))
            return
        checks.composition(recipe)


def compositions(registry: Registry, toy: bool = False) -> Iterator[Recipe]:
    """Yield recipes in which every component occurs that needs no checkpoint; two, in a toy."""
    usual = {**BASE, ESTIMATOR: CHEAP} if toy else BASE
    base: Recipe = {kind.group: {"name": name} for kind, name in usual.items()}
    yield {**SETTINGS, **base}
    for kind in usual:
        others = [name for name in _names(registry, kind) if name != usual[kind]]
        for name in others[:1] if toy else others:
            yield {**SETTINGS, **base, kind.group: {"name": name}}


def title(recipe: Mapping[str, Any]) -> str:
    """Return what a recipe is called: the names of its components."""
    return ", ".join(recipe[kind.group]["name"].partition(":")[2] for kind in BASE)


class Checks:
    """What is compared, with components that are built once for each device.

    Parameters
    ----------
    stage
        Where rows are told.
    registry
        Of all plugins.

    Attributes
    ----------
    recipes
        The compositions, the usual one first.
    """

    def __init__(self, stage: Stage, registry: Registry) -> None:
        self._registry = registry
        self.recipes = list(compositions(registry, stage.toy))
        self._base = self.recipes[0]
        self._stage = stage
        self._built: dict[str, Part] = {}
        B, H, W = (2, 32, 32) if stage.toy else (3, 96, 128)
        self._sources = synthetic_sources(2, B, 3, H, W, dtype=torch.float32).clamp(-1, 1)

    def composition(self, recipe: Recipe) -> None:
        """Compare one composition: with the CPU, with itself, in half precision; and its waits."""
        about = title(recipe)
        try:
            on_cpu = self._fused(recipe, device="cpu")
            here = self._composed(recipe)
            image = self._image(here)
            self._near("float32, to the CPU", about, image, on_cpu)
            again = self._image(here)
            self._tell("same bits again", about, torch.equal(image, again))
            half = self._fused(recipe, precision="bfloat16")
            levels = float((half - on_cpu).abs().mean()) * 127.5
            self._tell("bfloat16, to float32", about, levels <= BFLOAT16, levels=levels)
            self._tell("no host sync", about, **self._waits(here))
        except (FusionkitError, RuntimeError) as error:
            self._tell("runs", about, False, error=one_line(error))

    def tiles(self) -> None:
        """Compare an image that goes in tiles."""
        recipe = {**self._base, "tile": TILE}
        large = synthetic_sources(2, 1, 3, TILE + 40, TILE + 56, dtype=torch.float32).clamp(-1, 1)
        here, on_cpu = (
            self._composed(recipe, device)(large) for device in (self._stage.device, "cpu")
        )
        about = f"{title(recipe)}, tiles of {here.tiled}"
        self._near("float32, to the CPU", about, here.image.cpu(), on_cpu.image)

    def batch(self) -> None:
        """Compare a batch with its images one by one."""
        recipe = self._base
        pipeline = self._composed(recipe)
        together = self._image(pipeline)
        count = self._sources.shape[1]
        singly = torch.cat([self._image(pipeline, slice(b, b + 1)) for b in range(count)])
        about = f"{title(recipe)}, {count} images"
        self._near("a batch, to one by one", about, together, singly)

    def _composed(self, recipe: Recipe, device: str = "", precision: str = "float32") -> Pipeline:
        settings = {"device": device or self._stage.device, "precision": precision}
        return compose(recipe={**recipe, **settings}, registry=self._registry, built=self._built)

    def _fused(self, recipe: Recipe, device: str = "", precision: str = "float32") -> Tensor:
        return self._image(self._composed(recipe, device, precision))

    def _image(self, pipeline: Pipeline, which: slice = slice(None)) -> Tensor:
        return pipeline(self._sources[:, which]).image.cpu()

    def _waits(self, pipeline: Pipeline) -> dict[str, Any]:
        """Return whether the loop waits for the device; at its end it reads what was checked."""
        sources = self._sources.to(self._stage.device)
        steps = pipeline.steps(sources)
        mode = "error" if sources.is_cuda else "default"
        if sources.is_cuda:
            torch.cuda.set_sync_debug_mode(mode)
        try:
            for _ in range(pipeline.schedule.steps):
                next(steps)
        except (FusionkitError, RuntimeError) as error:
            return {"passed": False, "error": one_line(error)}
        finally:
            if sources.is_cuda:
                torch.cuda.set_sync_debug_mode("default")
        return {"passed": True, "checked": sources.is_cuda}

    def _near(self, what: str, about: str, image: Tensor, other: Tensor) -> None:
        difference = (image - other).abs()
        largest = float(difference.max())
        beyond = float((difference > FLOAT32).float().mean())
        self._tell(what, about, largest <= FLOAT32, largest=largest, beyond=beyond)

    def _tell(self, what: str, about: str, passed: bool, **found: Any) -> None:
        self._stage.tell(what=what, composition=about, passed=passed, **found)


def _names(registry: Registry, kind: Kind) -> list[str]:
    """Return the components of a kind that can be built of what ships."""
    return [
        provided.qualified
        for provided in registry.all(kind)
        if not any(spec.required for spec in specs(provided.component.options))
    ]
