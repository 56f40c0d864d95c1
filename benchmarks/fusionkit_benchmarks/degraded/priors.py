"""What ``--observe`` does, alone and guided by the other source, and fusing what comes of it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusionkit import Registry
from fusionkit.host.composing import compose
from fusionkit.host.pipeline import Pipeline
from fusionkit.host.scene import Scene
from fusionkit.recipes.finding import Layer

from .scenes import Degraded

Array = NDArray[np.float64]


class Fuser:
    """Restores and fuses by one recipe, with one prior.

    Parameters
    ----------
    recipe
        What fuses.
    registry
        Where components are looked up.
    """

    def __init__(self, recipe: Layer, registry: Registry) -> None:
        self._recipe = recipe
        self._registry = registry
        self._built: dict[str, Any] = {}

    def restored(
        self, scene: Degraded, estimator: str, guided: bool, levels: int
    ) -> tuple[Array, float, float]:
        """Return the first source restored, (H, W) about in [0, 1], the NFE and seconds."""
        observe = {"chains": [scene.chain], "guided": guided, "levels": levels}
        pipeline = self._pipeline(estimator=estimator, preparations={"observe": observe})
        loaded = Scene.load([scene.image, scene.pair.clean[1]], pipeline.settings)
        began = time.perf_counter()
        prepared = pipeline.prepare(loaded.sources, 0)
        spent = time.perf_counter() - began
        return prepared.sources.planes[0, 0].astype(np.float64), prepared.nfe, spent

    def fused(self, first: Array, other: NDArray[np.uint8]) -> Array:
        """Return the fusion of two sources, (H, W) in [0, 1]."""
        sources = np.stack([np.clip(first, 0, 1), other / 255.0]).astype(np.float32)
        pipeline = self._pipeline()
        image = pipeline(torch.from_numpy(sources)[:, None, None].mul(2).sub(1), seed=0).image
        fused: Array = ((image[0, 0] + 1) / 2).clamp(0, 1).double().cpu().numpy()
        return fused

    def _pipeline(self, **changes: Any) -> Pipeline:
        recipe = {**self._recipe, **changes}
        return compose(recipe=recipe, registry=self._registry, built=self._built)
