"""Fusing the pictures of a scene: all at once, or patch by patch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..contract.preparation import Sources
from ..errors import UsageError
from ..imaging import Lumas, Picture, planes_left_to_one
from ..imaging.storing import Storage
from ..recipes.preparing import RESTORES_SIZE
from .composing import with_preparation
from .parts import Fused
from .patching import by_patches
from .pipeline import Pipeline
from .spread import spread_of
from .weight_maps import WeightMaps

if TYPE_CHECKING:
    from .scene import OnPixels, OnStep, Scene


@dataclass(frozen=True, eq=False)
class Made:
    """What is fused, as it is stored, and what the record says of how it was prepared.

    ``pipeline`` is what it was fused by, with preparations that the scene asks for; ``fused`` has
    no pixels where it was fused in patches.
    """

    pipeline: Pipeline
    fused: Fused
    pixels: NDArray[Any]
    storage: Storage
    preparations: dict[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    beside: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    weight_maps: WeightMaps | None = None


def in_patches(scene: Scene, pipeline: Pipeline) -> bool:
    """Whether a scene can be fused from its pictures part by part, without all in memory."""
    if pipeline.preparations or scene.in_rgb or not isinstance(scene.plan.luma, Lumas):
        return False
    of_one_size = all(picture.measured is None for picture in scene.pictures)
    return of_one_size and pipeline.patchy(_shape(scene))


def patch_by_patch(scene: Scene, pipeline: Pipeline) -> Made:
    """Fuse a scene of which :func:`in_patches` is true; pixels are those that :func:`whole` makes.

    What is held beside the pictures and the result does not grow with the image.
    """
    plan, storage = scene.plan, scene.storage
    luma = plan.luma
    assert isinstance(luma, Lumas)

    def read(seen: tuple[slice, slice]) -> Tensor:
        return _on_scale(luma[:, *seen])[:, None, None]

    least = _on_scale(luma.least).view(-1, 1, 1, 1, 1)
    pixels = storage.blank(scene.pictures[0].shape, plan.layout)
    threads = torch.get_num_threads()
    fused: Fused | None = None
    for patch, fused in by_patches(pipeline, read, _shape(scene), least):
        storage.put(pixels, patch.place, plan, _unit(fused)[0], _weights(fused), threads)
        fused = fused.without_pixels()  # or they would stay beside those of the next patch
    assert fused is not None
    return Made(pipeline, fused, storage.finished(pixels), storage)


def whole(
    scene: Scene,
    pipeline: Pipeline,
    seed: int | None,
    on_step: OnStep | None,
    on_pixels: OnPixels,
    on_note: Callable[[str], None] | None,
    maps: bool,
) -> Made:
    """Prepare a scene and fuse it; arguments as of :meth:`.scene.Scene.fuse`."""
    if any(picture.measured is not None for picture in scene.pictures):
        _check_restored(scene.pictures, pipeline.left_out)
        pipeline = with_preparation(pipeline, RESTORES_SIZE)
    # Colour is held as floats for preparations alone.
    before = scene.sources if pipeline.preparations else scene.without_colour
    prepared = pipeline.prepare(before, seed, on_pixels)
    if on_note is not None:
        for note in prepared.notes:
            on_note(note)
    after = prepared.sources
    fused = pipeline(_on_scale(after.planes)[:, None], seed, on_step, on_pixels)
    beside = dict(prepared.maps)
    if prepared.samples:
        beside["std"], nfe = spread_of(pipeline, prepared.samples, seed, on_pixels)
        fused = replace(fused, nfe=fused.nfe + nfe)
    storage = scene.storage if after.shown is before.shown else scene.store(after.shown)
    pixels = _pixels(scene, fused, before, after, storage)
    fused = replace(
        fused,
        nfe=fused.nfe + prepared.nfe,
        tiled=min(filter(None, [fused.tiled, prepared.tiled]), default=0),
        retries=fused.retries + prepared.retries,
    )
    weight_maps = None
    if maps:
        weights = fused.weights[:, 0, 0].float().cpu().numpy()
        weight_maps = WeightMaps.of(weights, after.names, after.shown, pipeline.is_of_focus)
    return Made(
        pipeline,
        fused,
        pixels,
        storage,
        prepared.record,
        prepared.notes,
        beside,
        weight_maps,
    )


def _shape(scene: Scene) -> tuple[int, int, int, int, int]:
    """Return K, B, C, H, W of the sources as a pipeline is given them."""
    K, H, W = scene.plan.luma.shape
    return K, 1, 1, H, W


def _on_scale(values: NDArray[np.float32]) -> Tensor:
    """Return values of [0, 1] in [-1, 1]."""
    return torch.from_numpy(values).mul(2).sub_(1)


def _unit(fused: Fused) -> NDArray[np.float32]:
    """Return the channels of the fused image, (C, H, W), in [0, 1]."""
    unit: NDArray[np.float32] = ((fused.image[0] + 1) / 2).cpu().numpy()
    return unit


def _weights(fused: Fused) -> NDArray[np.float32]:
    weights: NDArray[np.float32] = fused.weights[:, 0, 0].cpu().numpy()
    return weights


def _pixels(
    scene: Scene, fused: Fused, before: Sources, after: Sources, storage: Storage
) -> NDArray[Any]:
    """Return what was fused as it is stored, what one source alone shows taken from it."""
    image = _unit(fused)
    if after.shown is not None:
        image = planes_left_to_one(image, after.planes, after.shown)
    if scene.in_rgb:
        return storage.planes(image)
    plan = scene.plan if after is before else scene.plan.of(after)
    return storage.pixels(plan, image[0], _weights(fused), torch.get_num_threads())


def _check_restored(pictures: Sequence[Picture], left_out: frozenset[str]) -> None:
    """Raise UsageError where what makes sources one size is left out."""
    called = RESTORES_SIZE.rpartition(":")[2]
    if called not in left_out:
        return
    small = next(picture for picture in pictures if picture.measured is not None)
    assert small.measured is not None
    raise UsageError(
        f"{small.name}: {small.measured.width}x{small.measured.height} pixels, where others have "
        f"{small.width}x{small.height}, are made one size by {called}, which is left out "
        f"(--no-{called}): resize it, or leave out the flag"
    )
