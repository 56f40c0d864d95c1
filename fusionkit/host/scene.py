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
    planes_of,
    seen_noise,
    shown_by,
)
from ..imaging.luma import Lumas
from ..imaging.shift import seen_shift, shift_note
from ..imaging.slicing import elsewhere_notes
from ..imaging.sources import Source, is_tensor, listed, source_pictures
from ..imaging.storing import Storage
from ..recipes.deciding import Decision, Hue, decide
from ..recipes.preparing import NOTHING_MADE, Made, described
from ..recipes.settings import Settings
from .carrying import carried, lost_on, patient_notes
from .keeping import Kept
from .result import Result
from .saving import check_result, record_path_of

# Sources are read, and what is wrong with them is said, before torch takes seconds to import.
if TYPE_CHECKING:
    from torch import Tensor

    from ..sampling.guide import SampledStep
    from .pipeline import Pipeline

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
    def without_colour(self) -> Sources:
        """The scene as a pipeline without preparations is given it."""
        return self.sources if self.in_rgb else self._of_luma({})

    def _of_luma(self, colour: dict[int, NDArray[np.float32]]) -> Sources:
        return Sources(self.pictures, np.asarray(self.plan.luma)[:, None], colour, self.plan.shown)

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
        from .fusing import in_patches, patch_by_patch, whole
        from .record import make_record, metadata_record

        began = time.perf_counter()
        if on_step is None and not maps and in_patches(self, pipeline):
            made = patch_by_patch(self, pipeline)
        else:
            made = whole(self, pipeline, seed, on_step, on_pixels, on_note, maps)
        storage = made.storage
        alpha = storage.stored_alpha()
        record = make_record(
            made.pipeline,
            made.fused,
            seed=pipeline.settings.seed if seed is None else seed,
            pictures=self.pictures,
            colour={"fused": self.fused_as, **({} if self.in_rgb else self.plan.record())},
            preparations=made.preparations,
            output=self.format,
            notes=[*self.notes, *made.notes],
            seconds=time.perf_counter() - began,
            metadata={"from": self.pictures[0].name, **metadata_record(storage.metadata)},
            task=None if self.decision is None else self.decision.record(),
        )
        return Result(
            self._like_sources(made.pixels, alpha),
            record,
            made.pixels,
            alpha,
            self.plan.icc,
            self.paths,
            storage.metadata,
            storage.no_data,
            made.beside,
            made.weight_maps,
        )

    @property
    def in_rgb(self) -> bool:
        """Whether all channels are fused, and no colour is attached."""
        return self.fused_as != "luma"

    @property
    def fused_as(self) -> str:
        """What is fused: ``luma``, or ``rgb`` where that is asked for and there is colour."""
        return "rgb" if self.rgb and self.plan.kind != "grey" else "luma"

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
        luma = plan.luma
        read = luma.rows_of(source) if isinstance(luma, Lumas) else luma[source].__getitem__
        if seen := seen_noise(picture, read, shown):
            notes.append(noise_note(picture.name, seen))
    if "align" not in made and plan.shown is None:
        first = plan.luma[0]
        for source, picture in enumerate(pictures[1:], 1):
            if shift := seen_shift(first, plan.luma[source]):
                notes.append(shift_note(picture.name, pictures[0].name, shift))
                break  # of a stack that was not aligned, once
    return tuple(notes)


def _chroma(settings: Settings) -> str:
    return "auto" if settings.colour == "rgb" else settings.chroma


def _hue(picture: Picture) -> Hue:
    if not picture.is_colour:
        return "grey"
    return "tint" if picture.is_tinted else "colour"


def _has_channel_axis(source: Source) -> bool:
    return getattr(source, "ndim", 2) == 3
