"""Composing components, named or built, into one pipeline from sources to a fused image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..contract.component import BuildContext
from ..contract.counting import number_of
from ..contract.guiding import uses_trajectory
from ..contract.options import to_mapping
from ..contract.preparation import Sources
from ..errors import UsageError
from ..ops import in_patches
from ..recipes.preparing import PREPARATIONS
from ..recipes.settings import Settings
from ..sampling.cache import EstimateCache, RunCache
from ..sampling.evaluator import Evaluator, OnPixels
from ..sampling.flags import Flags
from ..sampling.guide import SampledStep, sample
from ..sampling.run import Run
from .caching import run_cache
from .latents import at_full_size, check_pixels, decoded, encoded, is_latent
from .parts import Fused, Part, check_fit, common_reach, fitting_schedule, needed_levels
from .patching import in_channels, whole_of_patches
from .preparing import Preparing, ScenePrior, ordered, prepare


class Pipeline:
    """A prior, a weighting, an objective and a sampler, composed: call it, or iterate its steps.

    Made by :func:`compose`. Holds no state of a run, and can be used again and again.
    A ``cache`` of source estimates needs an estimator that has a name.

    Attributes
    ----------
    parts
        The components: ``estimator``, ``weighting``, ``objective``, ``sampler``.
    levels
        Which levels the result depends on, one of :data:`fusionkit.contract.guiding.LEVELS`.
    schedule
        The levels that are visited: one, if the same comes of all.
    latent
        Whether the prior is one of latents, which sources are encoded to.
    reach
        How far away a source may change the result, in pixels, where large images can be fused in
        patches for that; else None.
    preparations
        What is made of the sources of a scene before they are fused, in this order. A call of
        the pipeline takes sources as they are.
    metrics
        The preset or the metrics that the recipe names, for the record; empty if it names none.
    left_out
        Preparations that are expressly not made, by what they are called.
    """

    def __init__(
        self,
        parts: Mapping[str, Part],
        settings: Settings,
        context: BuildContext,
        cache: EstimateCache | None = None,
        preparations: Mapping[str, Part] | None = None,
    ) -> None:
        self.parts = parts
        self.preparations = ordered(preparations or {})
        self.settings = settings
        self.context = context
        self.cache = cache
        self.device = torch.device(context.device)
        self.dtype = torch.float64 if context.precision == "float64" else torch.float32
        self.levels = needed_levels(parts["weighting"], parts["objective"])
        self.metrics: str | list[str] = ""
        self.left_out: frozenset[str] = frozenset()
        self.latent = is_latent(parts["estimator"])
        check_fit(self.parts)
        reach = common_reach(parts["weighting"], parts["objective"])
        self.reach = None if self.latent or parts["sampler"].built.trajectory else reach
        schedule = fitting_schedule(settings, parts["estimator"], self.levels)
        # The same would come of every step: one is run.
        self.schedule = schedule if self.levels == "all" else schedule.first

    def __repr__(self) -> str:
        names = ", ".join(str(part.table["name"]) for part in self.parts.values())
        place = f"{self.context.device}, {self.context.precision}"
        return f"<Pipeline of {names}; steps: {self.schedule.steps}; {place}>"

    def channels_of(self, sources: int) -> int:
        """Return how many channels a run over sources of so many has.

        Raises
        ------
        UsageError
            The prior is one for another number.
        """
        known: int | None = self.parts["estimator"].built.channels
        if self.latent:
            return int(known or 1)
        if known in (None, 1, sources):
            return sources
        if sources == 1:
            return int(known or 1)
        raise UsageError(
            f"sources have {sources} channels, {self.parts['estimator'].label} takes {known}: "
            "fuse luminance (--colour luma), or choose another prior"
        )

    @property
    def is_of_focus(self) -> bool:
        """Whether the recipe is one of focus stacks, and is measured as such."""
        return self.metrics == "multi-focus"

    @property
    def target_only(self) -> bool:
        """Whether neither component looks at the fused trajectory, which is then left out."""
        used = (self.parts[group].built for group in ("weighting", "objective"))
        return not any(uses_trajectory(built) for built in used)

    def as_recipe(self, seed: int | None = None) -> dict[str, Any]:
        """Return the resolved recipe, every setting and option spelled out, JSON-ready."""
        settings = self.settings if seed is None else replace(self.settings, seed=seed)
        tables: dict[str, Any] = {group: dict(part.table) for group, part in self.parts.items()}
        if self.preparations:
            made = {name: dict(part.table) for name, part in self.preparations.items()}
            tables[PREPARATIONS] = made
        return {**to_mapping(settings), **tables}

    def __call__(
        self,
        sources: Tensor,
        seed: int | Sequence[int] | None = None,
        on_step: Callable[[SampledStep], None] | None = None,
        on_pixels: OnPixels | None = None,
        x_init: Tensor | None = None,
    ) -> Fused:
        """Fuse a batch.

        Parameters
        ----------
        sources
            (K, B, C, H, W) in [-1, 1], K >= 2. A prior for three channels takes 3, or 1,
            which is replicated, and the result averaged back; others take any C.
        seed
            One for all images, or one per image. Default: the settings'. The same
            image with the same seed gets the same noise in any batch.
        on_step
            Called with every finished step.
        on_pixels
            Called with the pixels of every part of an image that the estimator has evaluated;
            in all they are about NFE times those of the images.
        x_init
            (B, C, H, W), the fused image at the first level, instead of noise or of the
            noised initial fusion: ``step.x`` of a step, with the levels from there on as
            ``sigmas``, resumes a run.

        Raises
        ------
        UsageError
            The sources have a shape that cannot be fused.
        PluginError
            A component raised, or returned a wrong shape, values that are not
            finite, or weights off the simplex; it names plugin, step and level.
        """
        weights: Tensor | None = None
        image: Tensor | None = None
        run: Any = None
        for done in self.steps(sources, seed, on_pixels, x_init):
            weights = done.weights if weights is None else weights + done.weights
            image, run = done.corrected, done.step.run
            if on_step is not None:
                on_step(done)
            del done  # or a step's images would stay beside those of the next
        assert image is not None
        assert weights is not None
        assert isinstance(run, Run)
        if self.latent:
            image = decoded(self.parts["estimator"], image, sources)
            weights = at_full_size(weights, sources)
        return Fused(
            image=in_channels(image, sources.shape[2]),
            weights=weights / run.steps if run.steps > 1 else weights,
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
        on_pixels: OnPixels | None = None,
        x_init: Tensor | None = None,
        grad: bool = False,
    ) -> Iterator[SampledStep]:
        """Fuse a batch, yielding every finished step; arguments and errors as for a call.

        What components returned is checked once the steps are exhausted. With ``grad``, gradients
        pass through weighting, objective and sampler, so that what they learn can be trained
        through the steps; what the prior estimates is a constant.
        """
        self.check_sources(sources)
        seeds = self.seeds(seed, sources.shape[1])
        cache = run_cache(self, sources, seeds)
        return self._sample(sources, seeds, cache, on_pixels, x_init, grad)

    def prepare(
        self, sources: Sources, seed: int | None = None, on_pixels: OnPixels | None = None
    ) -> Preparing:
        """Make the preparations of one scene.

        Raises
        ------
        UsageError
            The prior is one for another number of channels.
        PluginError
            One failed, or returned what is no scene of the same size.
        """
        if not self.preparations:
            return Preparing(sources)
        check_pixels(self.parts["estimator"], f"preparation {next(iter(self.preparations))}")
        self.channels_of(sources.planes.shape[1])
        evaluator = self._evaluator(Flags(), on_pixels)
        (seed,) = self.seeds(seed, 1)
        channels: int | None = self.parts["estimator"].built.channels
        prior = ScenePrior(evaluator, channels, seed, self.device, self.dtype)
        return prepare(sources, self.preparations, prior)

    def _sample(
        self,
        sources: Tensor,
        seeds: tuple[int, ...],
        cache: RunCache | None,
        on_pixels: OnPixels | None,
        x_init: Tensor | None,
        grad: bool,
    ) -> Iterator[SampledStep]:
        flags = Flags()
        run = self.begun(sources, seeds, flags, cache, on_pixels, grad)
        if x_init is not None:
            x_init = self._checked_start(x_init, run.sources)
        if self.patchy(sources.shape) and not grad:
            yield whole_of_patches(self, run, flags)
        else:
            yield from self.sampled(run, x_init, grad)
        flags.verify()
        if cache is not None:
            cache.write()

    def begun(
        self,
        sources: Tensor,
        seeds: tuple[int, ...],
        flags: Flags,
        cache: RunCache | None = None,
        on_pixels: OnPixels | None = None,
        grad: bool = False,
        least: Tensor | None = None,
    ) -> Run:
        """Return a run over sources, checked before, or over a patch of them."""
        K, B, C, H, W = sources.shape
        prepared = sources.to(self.device, self.dtype)
        channels = self.channels_of(C)
        flags.finite(prepared, "the sources hold values that are not finite")
        if self.latent:
            prepared = encoded(self.parts["estimator"], prepared)
        elif channels != C:
            prepared = prepared.expand(K, B, channels, H, W)
        if least is not None:
            least = least.to(prepared).expand(K, B, channels, 1, 1)
        return Run(
            prepared,
            seeds,
            self.parts["estimator"].built,
            self.schedule,
            flags=flags,
            cache=cache,
            evaluator=self._evaluator(flags, on_pixels),
            detach=grad,
            least=least,
        )

    def sampled(
        self, run: Run, x_init: Tensor | None = None, grad: bool = False
    ) -> Iterator[SampledStep]:
        """Sample a run, yielding every step."""
        return sample(
            run,
            self.parts["weighting"].built,
            self.parts["objective"].built,
            self.parts["sampler"].built,
            from_noise=self.schedule.from_noise,
            x_init=x_init,
            grad=grad,
            weighting_name=self.parts["weighting"].label,
            objective_name=self.parts["objective"].label,
            sampler_name=self.parts["sampler"].label,
        )

    def patchy(self, shape: Sequence[int]) -> bool:
        """Whether sources (K, B, C, H, W) are fused in patches: they are large, and may be."""
        K, B, _, H, W = shape
        return self.reach is not None and in_patches(H, W, K * B)

    def _evaluator(self, flags: Flags, on_pixels: OnPixels | None) -> Evaluator:
        part = self.parts["estimator"]
        return Evaluator(part.built, part.label, flags, self.settings.tile, on_pixels)

    def check_sources(self, sources: Tensor) -> None:
        """Raise UsageError if these are no sources, or none that the components take."""
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
        self.channels_of(shape[2])

    def _checked_start(self, x: Tensor, sources: Tensor) -> Tensor:
        shape = sources.shape[1:]
        if x.ndim != 4 or tuple(x.shape) not in (tuple(shape), (shape[0], 1, *shape[2:])):
            raise UsageError(f"x_init is {tuple(x.shape)}, of images {tuple(shape)}")
        if self.target_only:
            raise UsageError("x_init: nothing here reads the fused trajectory")
        return x.to(sources).expand(shape)

    def seeds(self, seed: int | Sequence[int] | None, batch: int) -> tuple[int, ...]:
        """Return the seed of each image: the settings' by default."""
        seed = self.settings.seed if seed is None else seed
        seeds = (seed,) * batch if isinstance(seed, int) else tuple(seed)
        if len(seeds) != batch:
            raise UsageError(f"{number_of(len(seeds), 'seed')} for a batch of {batch}")
        return seeds
