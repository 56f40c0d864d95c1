"""A pipeline over large images: patch by patch, where no component looks far."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from ..contract.run import Step
from ..ops import distinct, patches
from ..ops.patching import Patch
from ..sampling.flags import Flags
from ..sampling.guide import SampledStep
from ..sampling.run import Run
from .memory import give_back_memory
from .parts import Fused

if TYPE_CHECKING:
    from .pipeline import Pipeline

MANY = 2**22
"""How many pixels of all sources are worth giving memory back for, patch by patch."""


def by_patches(
    pipeline: Pipeline,
    read: Callable[[tuple[slice, slice]], Tensor],
    shape: Sequence[int],
    least: Tensor,
    flags: Flags | None = None,
) -> Iterator[tuple[Patch, Fused]]:
    """Fuse sources that need not be in memory at once, where ``pipeline.patchy`` says so.

    Parameters
    ----------
    pipeline
        What fuses them.
    read
        Returns some rows and columns of all sources, (K, B, C, h, w) in [-1, 1].
    shape
        K, B, C, H, W.
    least
        (K, B, C, 1, 1), the least value of each source.
    flags
        Where what is wrong with what comes is noted, instead of being raised.

    Yields
    ------
    Patch, Fused
        The place in the image, and what is fused and weighed there.
    """
    assert pipeline.reach is not None
    K, B, C, H, W = shape
    seeds = pipeline.seeds(None, B)  # which nothing here depends on
    for patch in patches(H, W, K * B, pipeline.reach):
        sources = read(patch.seen)
        pipeline.check_sources(sources)
        noted = flags or Flags()
        run = pipeline.begun(sources, seeds, noted, least=least)
        (done,) = pipeline.sampled(run)
        if flags is None:
            noted.verify()
        image, weights = (each[..., *patch.inside] for each in (done.corrected, done.weights))
        image = in_channels(image, C)
        yield patch, Fused(image, weights, 0.0, run.steps, pipeline.target_only)
        many = sources.numel() > MANY
        del sources, run, done, image, weights
        if many:  # of few, asking for the pages anew takes more than it is worth
            give_back_memory()


def whole_of_patches(pipeline: Pipeline, run: Run, flags: Flags) -> SampledStep:
    """Return the one step of a run that is made in patches."""
    sources = distinct(run.sources)
    K, B, C, H, W = sources.shape
    weights, image = sources.new_empty(K, B, 1, H, W), sources.new_empty(B, C, H, W)

    def read(seen: tuple[slice, slice]) -> Tensor:
        return sources[..., *seen]

    for patch, done in by_patches(pipeline, read, sources.shape, distinct(run.least), flags):
        weights[..., *patch.place] = done.weights
        image[..., *patch.place] = done.image
        del done  # or its pixels would stay beside those of the next patch
    return SampledStep(Step(run, 0, None, None), weights, image.expand(run.sources.shape[1:]))


def in_channels(image: Tensor, channels: int) -> Tensor:
    """Return it in as many channels as the sources have, or the one that they have in common."""
    if image.shape[1] == channels:
        return image
    ours = distinct(image)
    return ours if ours.shape[1] == channels else image.mean(1, keepdim=True)
