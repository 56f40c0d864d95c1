"""The sources of one scene: read, checked, planned for fusion, and fused by a pipeline."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ..contract.preparation import Sources
from ..errors import UsageError
from ..imaging import (
    ColourPlan,
    OutputFormat,
    Picture,
    check_fits,
    common_alpha,
    in_one_profile,
    noise_note,
    on_one_grid,
    orientation_notes,
    output_format,
    plan_colour,
    planes_left_to_one,
    planes_of,
    seen_noise,
    shown_by,
)
from ..imaging.shift import seen_shift, shift_note
from ..imaging.slicing import elsewhere_notes
from ..imaging.sources import Source, is_tensor, listed, source_pictures
from ..imaging.storing import Storage
from ..recipes.deciding import Decision, Hue, decide
from ..recipes.preparing import NOTHING_MADE, RESTORES_SIZE, Made, described
from ..recipes.settings import Settings
from .carrying import carried, lost_on, patient_notes
from .result import Result
from .saving import Kept, check_result, record_path_of

# Sources are read, and what is wrong with them is said, before torch takes seconds to import.
if TYPE_CHECKING:
    from torch import Tensor

    from ..sampling.guide import SampledStep
    from .parts import Fused
    from .pipeline import Pipeline
    from .weight_maps import WeightMaps

    OnStep = Callable[[SampledStep], None]

OnPixels = Callable[[float], None] | None


@dataclass(frozen=True, eq=False)
class Scene:
    """K registered sources of one scene, read, checked, and planned for fusion.

    ``decision`` is the task that was decided from them, if that was asked for.
    """

    pictures: tuple[Picture, ...]
    plan: ColourPlan
    storage: Storage
    store: Callable[[NDArray[np.bool_] | None], Storage]
    differ_in_alpha: bool
    faults: tuple[str, ...]
    rgb: bool
    as_tensor: bool = False
    keeps_axis: bool = False
    paths: tuple[str, ...] = ()
    decision: Decision | None = None

    @classmethod
    def load(cls, sources: Sequence[Source], settings: Settings, made: Made = NOTHING_MADE) -> Self:
        """Read and check the sources; raise ImageError naming the one that cannot be used."""
        sources = listed(sources)
        pictures = source_pictures(
            sources, settings.range, settings.stretch, settings.grid == "first"
        )
        return replace(
            cls.of(pictures, settings, made),
            as_tensor=all(is_tensor(source) for source in sources),
            keeps_axis=all(_has_channel_axis(source) for source in sources),
            paths=tuple(os.fspath(s) for s in sources if isinstance(s, (str, os.PathLike))),
        )

    @classmethod
    def of(cls, pictures: Sequence[Picture], settings: Settings, made: Made = NOTHING_MADE) -> Self:
        """Plan the fusion of sources that are read; raise ImageError if they are of no one scene.

        What looks noisy, or clearly lies elsewhere than the first source, is told of, unless
        ``made``, the preparations of the run by what they are called, have ``noise`` or ``align``,
        or say themselves that this source is noisy or has dead pixels, which look like noise.
        """
        pictures = on_one_grid(in_one_profile(pictures))
        alpha, opaque = common_alpha(pictures)
        shown = shown_by(pictures, opaque)
        plan = plan_colour(pictures, _chroma(settings), shown)
        metadata = carried(pictures[0], settings)
        format = output_format(pictures, settings.depth)

        def store(shown: NDArray[np.bool_] | None) -> Storage:
            return Storage.of(pictures[0], format, alpha, shown, metadata)

        return cls(
            pictures,
            plan,
            store(shown),
            store,
            differ_in_alpha=opaque is not None,
            faults=_faults(pictures, plan, made),
            rgb=settings.colour == "rgb",
        )

    def decided(self, alike: bool = False) -> Decision:
        """Decide which task the scene is of (:mod:`fusionkit.recipes.deciding`).

        ``alike`` says that sources are to be made equally bright before they are fused.
        """
        return decide(self.plan.luma, [_hue(picture) for picture in self.pictures], alike)

    def of_task(self, decision: Decision, settings: Settings) -> Self:
        """Return the scene planned as the recipe of the task says that was decided for it."""
        plan = plan_colour(self.pictures, _chroma(settings), self.plan.shown)
        return replace(self, plan=plan, decision=decision)

    @property
    def format(self) -> OutputFormat:
        """Depth and range of the result."""
        return self.storage.format

    @property
    def notes(self) -> tuple[str, ...]:
        """What the person should know about the sources."""
        notes = [note for picture in self.pictures for note in picture.notes]
        notes += orientation_notes(self.pictures)
        notes += elsewhere_notes(self.pictures)
        if (flaw := self.storage.metadata.flaw) is not None:
            notes.append(f"{self.pictures[0].name}: {flaw}, and are left out")
        notes += patient_notes(self.pictures, bool(self.storage.metadata.patient))
        if self.differ_in_alpha:
            notes.append(
                "the sources differ in transparency: each counts where it is opaque, and the "
                "result is as opaque as the most opaque"
            )
        notes += self.storage.notes
        notes += [p.narrow_note for p in self.pictures if p.narrow_note is not None]
        notes += self.faults
        return tuple(notes)

    def notes_on(self, path: str | os.PathLike[str]) -> tuple[str, ...]:
        """Say what an output of that name loses that changes what its pixels mean."""
        return lost_on(path, self.pictures, self.plan, self.storage)

    def check_output(
        self, path: str | os.PathLike[str], overwrite: bool = False, resume: bool = False
    ) -> None:
        """Raise, before anything is computed, if the result could not be written there.

        Under ``resume``, what an interrupted run left of it is no error.
        """
        Kept(self.paths).refuse(path, record_path_of(path))
        has_alpha, size = self.storage.alpha is not None, self.pictures[0].shape
        check_fits(path, self.format.dtype, has_alpha, size, self.plan.layout)
        check_result(path, overwrite=overwrite, resume=resume)

    @cached_property
    def sources(self) -> Sources:
        """The scene as preparations are given it."""
        shown = self.plan.shown
        if self.in_rgb:
            return Sources(self.pictures, planes_of(self.pictures, shown), {}, shown)
        colour = {source: self.pictures[source].unit() for source in self.plan.offsets}
        return self._of_luma(colour)

    @property
    def _without_colour(self) -> Sources:
        return self.sources if self.in_rgb else self._of_luma({})

    def _of_luma(self, colour: dict[int, NDArray[np.float32]]) -> Sources:
        return Sources(self.pictures, self.plan.luma[:, None], colour, self.plan.shown)

    def fuse(
        self,
        pipeline: Pipeline,
        seed: int | None = None,
        on_step: OnStep | None = None,
        on_pixels: OnPixels = None,
        on_note: Callable[[str], None] | None = None,
        maps: bool = False,
    ) -> Result:
        """Fuse with a pipeline, attach colour and alpha, return in the output's depth.

        ``on_note`` is called with what the person should know of what was prepared. With ``maps``
        the result says what each source counts.
        """
        import torch

        from .composing import with_preparation
        from .record import make_record, metadata_record
        from .spread import spread_of

        began = time.perf_counter()
        if any(picture.measured is not None for picture in self.pictures):
            _check_restored(self.pictures, pipeline.left_out)
            pipeline = with_preparation(pipeline, RESTORES_SIZE)
        # Colour is held as floats for preparations alone.
        before = self.sources if pipeline.preparations else self._without_colour
        prepared = pipeline.prepare(before, seed, on_pixels)
        if on_note is not None:
            for note in prepared.notes:
                on_note(note)
        after = prepared.sources
        images = torch.from_numpy(after.planes)[:, None].mul(2).sub_(1)
        fused = pipeline(images, seed, on_step, on_pixels)
        beside = dict(prepared.maps)
        if prepared.samples:
            beside["std"], nfe = spread_of(pipeline, prepared.samples, seed, on_pixels)
            fused = replace(fused, nfe=fused.nfe + nfe)
        storage = self.storage if after.shown is before.shown else self.store(after.shown)
        pixels = self._pixels(fused, before, after, storage)
        fused = replace(
            fused,
            nfe=fused.nfe + prepared.nfe,
            tiled=min(filter(None, [fused.tiled, prepared.tiled]), default=0),
            retries=fused.retries + prepared.retries,
        )
        alpha = storage.stored_alpha()
        record = make_record(
            pipeline,
            fused,
            seed=pipeline.settings.seed if seed is None else seed,
            pictures=self.pictures,
            colour={"fused": self.fused_as, **({} if self.in_rgb else self.plan.record())},
            preparations=prepared.record,
            output=self.format,
            notes=[*self.notes, *prepared.notes],
            seconds=time.perf_counter() - began,
            metadata={"from": self.pictures[0].name, **metadata_record(storage.metadata)},
            task=None if self.decision is None else self.decision.record(),
        )
        return Result(
            self._like_sources(pixels, alpha),
            record,
            pixels,
            alpha,
            self.plan.icc,
            self.paths,
            storage.metadata,
            storage.no_data,
            beside,
            self._weight_maps(fused, after, pipeline) if maps else None,
        )

    def _weight_maps(self, fused: Fused, after: Sources, pipeline: Pipeline) -> WeightMaps:
        from .weight_maps import WeightMaps

        weights = fused.weights[:, 0, 0].float().cpu().numpy()
        return WeightMaps.of(weights, after.names, after.shown, pipeline.is_of_focus)

    @property
    def in_rgb(self) -> bool:
        """Whether all channels are fused, and no colour is attached."""
        return self.fused_as != "luma"

    @property
    def fused_as(self) -> str:
        """What is fused: ``luma``, or ``rgb`` where that is asked for and there is colour."""
        return "rgb" if self.rgb and self.plan.kind != "grey" else "luma"

    def _pixels(
        self, fused: Fused, before: Sources, after: Sources, storage: Storage
    ) -> NDArray[Any]:
        """Return what was fused as it is stored, what one source alone shows taken from it."""
        image = ((fused.image[0] + 1) / 2).cpu().numpy()
        if after.shown is not None:
            image = planes_left_to_one(image, after.planes, after.shown)
        if self.in_rgb:
            return storage.planes(image)
        weights = fused.weights[:, 0, 0].cpu().numpy()
        plan = self.plan if after is before else self.plan.of(after)
        return storage.pixels(plan, image[0], weights)

    def _like_sources(
        self, pixels: NDArray[Any], alpha: NDArray[Any] | None
    ) -> NDArray[Any] | Tensor:
        image = pixels
        if alpha is not None:
            image = np.dstack([pixels, alpha])
        elif self.keeps_axis and pixels.ndim == 2:
            image = pixels[..., np.newaxis]
        if not self.as_tensor:
            return image
        import torch

        return torch.from_numpy(np.moveaxis(image, -1, 0).copy() if image.ndim == 3 else image)


def _faults(pictures: Sequence[Picture], plan: ColourPlan, made: Made) -> tuple[str, ...]:
    """Say which sources look noisy or clearly lie elsewhere, where nothing is made of that."""
    notes = []
    known = described(made)
    for source, picture in enumerate(pictures) if "noise" not in made else ():
        if source in known:
            continue
        shown = None if plan.shown is None else plan.shown[source]
        if seen := seen_noise(picture, plan.luma[source], shown):
            notes.append(noise_note(picture.name, seen))
    if "align" not in made and plan.shown is None:
        for picture, luma in zip(pictures[1:], plan.luma[1:], strict=True):
            if shift := seen_shift(plan.luma[0], luma):
                notes.append(shift_note(picture.name, pictures[0].name, shift))
                break  # of a stack that was not aligned, once
    return tuple(notes)


def _chroma(settings: Settings) -> str:
    return "auto" if settings.colour == "rgb" else settings.chroma


def _hue(picture: Picture) -> Hue:
    if not picture.is_colour:
        return "grey"
    return "tint" if picture.is_tinted else "colour"


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


def _has_channel_axis(source: Source) -> bool:
    return getattr(source, "ndim", 2) == 3
