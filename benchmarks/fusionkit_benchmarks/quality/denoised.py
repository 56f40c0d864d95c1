"""Denoising each source by itself first, with the same network: the baseline under noise.

The network is told the true noise level of every source, which a method to be compared has to find
out, and sources without noise are left alone: it could hardly be better off.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from fusionkit import denoised
from fusionkit.contract.registry import Registry
from fusionkit.host.fingerprint import code_of_class, code_of_modules, combined, core_code
from fusionkit.host.parts import Part

from ..photographs import Pixels, luma_of_pixels
from ..truth.scene import Array, generator_of
from .methods import Fusion, Method
from .recipes import Recipe
from .scenes import BenchScene, Made, stored


class Denoiser:
    """The noise estimator of a recipe, as a denoiser of luma at known levels."""

    def __init__(self, recipe: Recipe, registry: Registry, built: dict[str, Part]) -> None:
        self._recipe, self._registry, self._built = recipe, registry, built
        self._last: tuple[BenchScene, Made, float, int] | None = None

    @cached_property
    def _part(self) -> Part:
        return self._recipe.pipeline.parts["estimator"]

    @cached_property
    def code(self) -> str:
        """A hash of the code that it runs."""
        own = code_of_modules((__name__,))
        return combined(core_code(), own, code_of_class(type(self._part.built)))

    def record(self) -> dict[str, Any]:
        """Return which estimator, with which options and weights."""
        return {"options": dict(self._part.table), **self._part.provenance()}

    def __call__(self, scene: BenchScene, made: Made) -> tuple[Made, float, int]:
        """Return a scene with denoised sources, the seconds, and the NFE that it took.

        What was denoised last is remembered: all methods are given the same.
        """
        if self._last is None or self._last[0] is not scene:
            began = time.perf_counter()
            pairs = list(zip(made.sources, made.sigmas, strict=True))
            sources = tuple(
                self._denoised(source, sigma, generator_of(scene.seed, "split", scene.name, k))
                for k, (source, sigma) in enumerate(pairs)
            )
            nfe = sum(sigma > 0 for sigma in made.sigmas)
            done = replace(made, sources=sources, sigmas=(0.0,) * len(sources))
            self._last = scene, done, time.perf_counter() - began, nfe
        return self._last[1:]

    def _denoised(self, source: Pixels, sigma: float, random: np.random.Generator) -> Pixels:
        if sigma == 0:
            return source
        pipeline, channels = self._recipe.pipeline, self._part.built.channels or 1
        luma = luma_of_pixels(source) / 127.5 - 1
        split = split_noise(luma, sigma / 127.5, channels, random)
        y = torch.from_numpy(split).to(pipeline.device, pipeline.dtype)[None]
        clean = denoised(self._part.built, y, sigma / 127.5 * math.sqrt(channels))
        return stored((clean[0].mean(0).cpu().numpy() + 1) / 2)


class DenoiseFirst:
    """A method that is given denoised sources."""

    keeps = True

    def __init__(self, inner: Method, denoiser: Denoiser) -> None:
        self.name = f"{inner.name}, denoised first"
        self.plain = self.reference = inner
        self._denoiser = denoiser

    @property
    def code(self) -> str:
        """That of both."""
        return combined(self.plain.code, self._denoiser.code)

    def missing(self) -> str | None:
        """Say what the method says."""
        return self.plain.missing()

    def record(self, scene: BenchScene) -> dict[str, Any]:
        """Return what decides both."""
        return {"denoised": self._denoiser.record(), "then": self.plain.record(scene)}

    def fuse(self, scene: BenchScene, made: Made) -> Fusion:
        """Denoise, then fuse."""
        clean, seconds, nfe = self._denoiser(scene, made)
        fusion = self.plain.fuse(scene, clean)
        return Fusion(fusion.pixels, (fusion.seconds or 0) + seconds, (fusion.nfe or 0) + nfe)


def split_noise(luma: Array, sigma: float, channels: int, random: np.random.Generator) -> Array:
    """Return a grey image of noise sigma as channels of sqrt(C) sigma, independent: (C, H, W).

    A colour denoiser knows noise that differs between channels. The mean of the channels is
    the image, and sufficient: nothing is added and nothing lost.
    """
    fresh = random.standard_normal((channels, *luma.shape))
    split: Array = luma + math.sqrt(channels) * sigma * (fresh - fresh.mean(0))
    return split
