"""Composing components, named or built, into one pipeline from sources to a fused image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..contract.component import BuildContext
from ..contract.guiding import uses_trajectory
from ..contract.options import to_mapping
from ..contract.weighting import plans
from ..errors import UsageError
from ..recipes.settings import Settings
from ..sampling.cache import EstimateCache, RunCache
from ..sampling.checks import Checks
from ..sampling.denoising import Denoiser, clean_sources
from ..sampling.evaluator import Evaluator, OnPixels
from ..sampling.levels import Schedule, check_timesteps, choose_timesteps
from ..sampling.run import Run, standard_normal
from ..sampling.sampler import SampledStep, sample
from .fingerprint import code_of_plugin
from .parts import Denoised, Fused, Part, checked_alpha_bar, checked_noise, needed_levels


class Pipeline:
    """A noise estimator, a weighting and an objective, composed: call it, or iterate its steps.

    Made by :func:`compose`. Holds no state of a run, and can be used again and again.
    A ``cache`` of source estimates needs an estimator that has a name.

    Attributes
    ----------
    levels
        Which levels the result depends on, one of :data:`fusionkit.contract.guiding.LEVELS`.
    schedule
        The levels that are visited: one, if the same comes of all.
    metrics
        The preset or the metrics that the recipe names, for the record; empty if it names none.
    """

    def __init__(
        self,
        estimator: Part,
        weighting: Part,
        objective: Part,
        settings: Settings,
        context: BuildContext,
        cache: EstimateCache | None = None,
    ) -> None:
        self.parts = {"estimator": estimator, "weighting": weighting, "objective": objective}
        self.settings = settings
        self.context = context
        self.cache = cache
        self.device = torch.device(context.device)
        self.dtype = torch.float64 if context.precision == "float64" else torch.float32
        self.alpha_bar = checked_alpha_bar(estimator)
        self.levels = needed_levels(weighting, objective)
        self.metrics: str | list[str] = ""
        schedule = Schedule.of(self.alpha_bar, self._timesteps())
        # The same would come of every step: one is run.
        self.schedule = schedule if self.levels == "all" else schedule.subset([0])

    def __repr__(self) -> str:
        names = ", ".join(str(part.table["name"]) for part in self.parts.values())
        place = f"{self.context.device}, {self.context.precision}"
        return f"<Pipeline of {names}; steps: {self.schedule.steps}; {place}>"

    @property
    def channels(self) -> int:
        """The channels of the noise estimator, 1 or 3."""
        return int(self.parts["estimator"].built.channels)

    @property
    def target_only(self) -> bool:
        """Whether neither component looks at the fused trajectory, which is then left out."""
        used = (self.parts[group].built for group in ("weighting", "objective"))
        return not any(uses_trajectory(built) for built in used)

    def as_recipe(self, seed: int | None = None) -> dict[str, Any]:
        """Return the resolved recipe, every setting and option spelled out, JSON-ready."""
        settings = self.settings if seed is None else replace(self.settings, seed=seed)
        tables = {group: dict(part.table) for group, part in self.parts.items()}
        return {**to_mapping(settings), **tables}

    @property
    def _plans(self) -> bool:
        return plans(self.parts["weighting"].built)

    def __call__(
        self,
        sources: Tensor,
        seed: int | Sequence[int] | None = None,
        on_step: Callable[[SampledStep], None] | None = None,
        noise: Sequence[float] | None = None,
        on_pixels: OnPixels | None = None,
    ) -> Fused:
        """Fuse a batch.

        Parameters
        ----------
        sources
            (K, B, C, H, W) in [-1, 1], K >= 2, C the estimator's channels or 1:
            grey is replicated, and the result averaged back.
        seed
            One for all images, or one per image. Default: the settings'. The same
            image with the same seed gets the same noise in any batch.
        on_step
            Called with every finished step.
        noise
            (K,) standard deviations of noise that the sources hold, in their own units (10 of
            255 is 10 / 127.5), to be taken off by the prior first (``denoising``): two
            evaluations for every noisy source. Default: none.
        on_pixels
            Called with the pixels of every part of an image that the estimator has evaluated;
            in all they are about NFE times those of the images.

        Raises
        ------
        UsageError
            The sources have a shape that cannot be fused, or noise is not one level for each.
        PluginError
            A component raised, or returned a wrong shape, values that are not
            finite, or weights off the simplex; it names plugin, step and level.
        """
        if self._plans and sources.ndim == 5 and sources.shape[1] > 1:
            return self._one_by_one(sources, seed, on_step, noise, on_pixels)
        weights: Tensor | None = None
        image: Tensor | None = None
        run: Any = None
        for done in self.steps(sources, seed, noise, on_pixels):
            weights = done.weights if weights is None else weights + done.weights
            image, run = done.corrected, done.step.run
            if on_step is not None:
                on_step(done)
            del done  # or a step's images would stay beside those of the next
        assert image is not None
        assert weights is not None
        assert isinstance(run, Run)
        if sources.shape[2] != image.shape[1]:
            image = image.mean(1, keepdim=True)
        return Fused(
            image=image,
            weights=weights / run.steps,
            nfe=run.nfe / sources.shape[1],
            steps=run.steps,
            target_only=self.target_only,
            cached=run.cached / sources.shape[1],
            tiled=run.tiled,
            retries=run.retries,
        )

    def steps(
        self,
        sources: Tensor,
        seed: int | Sequence[int] | None = None,
        noise: Sequence[float] | None = None,
        on_pixels: OnPixels | None = None,
    ) -> Iterator[SampledStep]:
        """Fuse a batch, yielding every finished step; arguments and errors as for a call.

        What components returned is checked once the steps are exhausted.
        """
        self._check_sources(sources)
        noise = checked_noise(noise, len(sources))
        if self._plans and sources.shape[1] > 1:
            raise UsageError(
                f"{self.parts['weighting'].label} plans the steps of each image: iterate one image "
                "at a time, or call the pipeline"
            )
        seeds = self._seeds(seed, sources.shape[1])
        cache = self._run_cache(sources, seeds, noise)
        return self._sample(sources, seeds, noise, cache, on_pixels)

    def denoise(
        self,
        images: Tensor,
        sigma: float,
        seed: int | None = None,
        on_pixels: OnPixels | None = None,
    ) -> Denoised:
        """Return clean estimates of images (M, C, H, W) at a known noise level, by the prior.

        One evaluation for each image; for each channel where the prior is one for grey and the
        images are not. ``sigma`` is in units of the images, which are in [-1, 1].
        """
        M, C, H, W = images.shape
        y = images.to(self.device, self.dtype)
        if self.channels == 1:
            y = y.reshape(M * C, 1, H, W)
        checks = Checks()
        seeds = self._seeds(seed, 1) * len(y)
        fresh = standard_normal((self.channels, H, W), seeds, "fusionkit/split").to(y)
        evaluator = self._evaluator(checks, on_pixels)
        clean = self._denoiser(evaluator)(y, (sigma,) * len(y), fresh)
        checks.verify()
        nfe = evaluator.pixels / (H * W)
        return Denoised(clean.reshape(M, C, H, W), nfe, evaluator.tiled, evaluator.retries)

    def _one_by_one(
        self,
        sources: Tensor,
        seed: int | Sequence[int] | None,
        on_step: Callable[[SampledStep], None] | None,
        noise: Sequence[float] | None,
        on_pixels: OnPixels | None,
    ) -> Fused:
        seeds = self._seeds(seed, sources.shape[1])
        fused = [
            self(sources[:, b : b + 1], seed, on_step, noise, on_pixels)
            for b, seed in enumerate(seeds)
        ]
        return Fused(
            image=torch.cat([one.image for one in fused]),
            weights=torch.cat([one.weights for one in fused], 1),
            nfe=sum(one.nfe for one in fused) / len(fused),
            steps=max(one.steps for one in fused),
            target_only=self.target_only,
            cached=sum(one.cached for one in fused) / len(fused),
            tiled=min((one.tiled for one in fused if one.tiled), default=0),
            retries=sum(one.retries for one in fused),
        )

    def _sample(
        self,
        sources: Tensor,
        seeds: tuple[int, ...],
        noise: tuple[float, ...],
        cache: RunCache | None,
        on_pixels: OnPixels | None,
    ) -> Iterator[SampledStep]:
        K, B, C, H, W = sources.shape
        prepared = sources.to(self.device, self.dtype)
        checks = Checks()
        checks.finite(prepared, "the sources hold values that are not finite")
        evaluator = self._evaluator(checks, on_pixels)
        if any(noise):
            fresh = standard_normal((self.channels, H, W), seeds, "fusionkit/split")
            prepared = clean_sources(prepared, noise, self._denoiser(evaluator), fresh)
        if self.channels != C:
            prepared = prepared.expand(K, B, self.channels, H, W)
        run = Run(
            prepared,
            seeds,
            self.parts["estimator"].built,
            self.schedule,
            checks=checks,
            cache=cache,
            evaluator=evaluator,
        )
        yield from sample(
            run,
            self.parts["weighting"].built,
            self.parts["objective"].built,
            from_noise=self.schedule.from_noise,
            eta=self.settings.eta,
            weighting_name=self.parts["weighting"].label,
            objective_name=self.parts["objective"].label,
        )
        checks.verify()
        if cache is not None:
            cache.write()

    def _evaluator(self, checks: Checks, on_pixels: OnPixels | None) -> Evaluator:
        part = self.parts["estimator"]
        return Evaluator(part.built, part.label, checks, self.settings.tile, on_pixels)

    def _denoiser(self, evaluator: Evaluator) -> Denoiser:
        return Denoiser(evaluator, self.alpha_bar, self.channels)

    def _run_cache(
        self, sources: Tensor, seeds: tuple[int, ...], noise: tuple[float, ...]
    ) -> RunCache | None:
        """Return the cache as a batch sees it; a device without values has none to keep."""
        if self.cache is None or self.device.type == "meta":
            return None
        estimator = self.parts["estimator"]
        about = {
            "estimator": estimator.provenance(),
            "options": dict(estimator.table),
            "code": self._estimator_code,
            "channels": self.channels,
            "precision": self.context.precision,
            "tile": self.settings.tile,
            "device": self.device.type,
            "dtype": str(self.dtype),
            "torch": torch.__version__,  # draws the noise, too
        }
        if any(noise):  # then it is not these sources that are estimated
            about["noise"] = list(noise)
        if self.context.compile:  # which rounds otherwise
            about["compile"] = True
        return RunCache(self.cache, about, sources.to("cpu", self.dtype), seeds)

    @cached_property
    def _estimator_code(self) -> str:
        """A hash of the estimator's plugin: with other code, estimates are others."""
        provided = self.parts["estimator"].provided
        return "" if provided is None else code_of_plugin(provided.plugin)

    def _check_sources(self, sources: Tensor) -> None:
        shape = tuple(sources.shape)
        if sources.ndim != 5:
            raise UsageError(f"sources must be (K, B, C, H, W), not {shape}")
        if shape[0] < 2:
            raise UsageError("one source only: fusion needs at least two")
        for group in ("weighting", "objective"):
            part = self.parts[group]
            takes = getattr(part.built, "sources", "any")
            if takes not in ("any", shape[0]):
                raise UsageError(f"{part.label} takes {takes} sources, not {shape[0]}")
        if shape[2] not in (1, self.channels):
            raise UsageError(
                f"sources have {shape[2]} channels, the estimator {self.channels}: fuse "
                "luminance, or choose an estimator for colour"
            )

    def _seeds(self, seed: int | Sequence[int] | None, batch: int) -> tuple[int, ...]:
        seed = self.settings.seed if seed is None else seed
        seeds = (seed,) * batch if isinstance(seed, int) else tuple(seed)
        if len(seeds) != batch:
            raise UsageError(f"{len(seeds)} seeds for a batch of {batch}")
        return seeds

    def _timesteps(self) -> tuple[int, ...]:
        settings = self.settings
        if settings.timesteps:
            return check_timesteps(settings.timesteps, len(self.alpha_bar))
        return choose_timesteps(self.alpha_bar, settings.steps, settings.start_at, settings.spacing)
