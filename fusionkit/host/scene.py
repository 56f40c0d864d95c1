"""The sources of one scene: read, checked, planned for fusion, and fused by a pipeline."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..imaging import (
    ColourPlan,
    OutputFormat,
    Picture,
    SourceNoise,
    check_fits,
    check_same_size,
    chroma_offset,
    common_alpha,
    held,
    in_one_profile,
    left_to_one,
    orientation_notes,
    output_format,
    plan_colour,
    planes_left_to_one,
    planes_of,
    shown_by,
    source_noise,
)
from ..imaging.metadata import NO_METADATA
from ..imaging.sources import Source, is_tensor, listed, source_pictures
from ..imaging.storing import Storage
from ..recipes.settings import Settings
from .result import Result
from .saving import Kept, check_result, record_path_of

# Sources are read, and what is wrong with them is said, before torch takes seconds to import.
if TYPE_CHECKING:
    from torch import Tensor

    from ..sampling.guide import SampledStep
    from .parts import Denoised, Fused
    from .pipeline import Pipeline

    OnStep = Callable[[SampledStep], None]

OnPixels = Callable[[float], None] | None


@dataclass(frozen=True, eq=False)
class Scene:
    """K registered sources of one scene, read, checked, and planned for fusion."""

    pictures: tuple[Picture, ...]
    plan: ColourPlan
    storage: Storage
    differ_in_alpha: bool
    noise: tuple[SourceNoise, ...]
    finds_no_noise: bool
    rgb: bool
    as_tensor: bool
    keeps_axis: bool
    paths: tuple[str, ...]

    @classmethod
    def load(cls, sources: Sequence[Source], settings: Settings) -> Scene:
        """Read and check the sources; raise ImageError naming the one that cannot be used."""
        sources = listed(sources)
        pictures = source_pictures(sources, settings.range, settings.stretch)
        check_same_size(pictures)
        pictures = in_one_profile(pictures)
        alpha, opaque = common_alpha(pictures)
        shown = shown_by(pictures, opaque)
        chroma = "auto" if settings.colour == "rgb" else settings.chroma
        plan = plan_colour(pictures, chroma, shown)
        noise = source_noise(pictures, plan.luma, settings.noise, shown)
        metadata = pictures[0].metadata if settings.metadata else NO_METADATA
        format = output_format(pictures, settings.depth)
        return cls(
            pictures,
            plan,
            Storage.of(pictures[0], format, alpha, shown, metadata),
            differ_in_alpha=opaque is not None,
            noise=noise,
            finds_no_noise="auto" in settings.noise and not any(one.found for one in noise),
            rgb=settings.colour == "rgb",
            as_tensor=all(is_tensor(source) for source in sources),
            keeps_axis=all(_has_channel_axis(source) for source in sources),
            paths=tuple(os.fspath(s) for s in sources if isinstance(s, (str, os.PathLike))),
        )

    @property
    def format(self) -> OutputFormat:
        """Depth and range of the result."""
        return self.storage.format

    @property
    def notes(self) -> tuple[str, ...]:
        """What the person should know about the sources."""
        notes = [note for picture in self.pictures for note in picture.notes]
        notes += orientation_notes(self.pictures)
        if (flaw := self.storage.metadata.flaw) is not None:
            notes.append(f"{self.pictures[0].name}: {flaw}, and are left out")
        if self.differ_in_alpha:
            notes.append(
                "the sources differ in transparency: each counts where it is opaque, and the "
                "result is as opaque as the most opaque"
            )
        notes += self.storage.notes
        notes += [p.narrow_note for p in self.pictures if p.narrow_note is not None]
        if self.finds_no_noise:
            notes.append("--noise auto: no source shows noise, so none is taken off")
        notes += [
            f"{picture.name}: looks noisy, about {noise.seen:.2g} of 255: consider --noise auto"
            for picture, noise in zip(self.pictures, self.noise, strict=True)
            if noise.seen and not noise.asked
        ]
        return tuple(notes)

    def notes_on(self, path: str | os.PathLike[str]) -> tuple[str, ...]:
        """Say what an output of that name loses that changes what its pixels mean."""
        storage, name = self.storage, os.fspath(path)
        icc, metadata = held(path, self.plan.icc, self.plan.layout, storage.metadata)
        described = {picture.name for picture in self.pictures if picture.icc is not None}
        notes = []
        if icc is None and described:
            notes.append(f"{name}: it cannot hold the colour profile of {min(described)}")
        declared = storage.metadata.declares_no_data and not metadata.declares_no_data
        if storage.hidden is not None and declared:
            notes.append(
                f"{name}: it cannot declare the no-data value {storage.no_data:g}, which a TIFF can"
            )
        return tuple(notes)

    def check_output(
        self, path: str | os.PathLike[str], overwrite: bool = False, resume: bool = False
    ) -> None:
        """Raise, before anything is computed, if the result could not be written there.

        Under ``resume``, what an interrupted run left of it is no error.
        """
        Kept(self.paths).refuse(path, record_path_of(path))
        check_fits(path, self.format.dtype, self.storage.alpha is not None, self.pictures[0].shape)
        check_result(path, overwrite=overwrite, resume=resume)

    def fuse(
        self,
        pipeline: Pipeline,
        seed: int | None = None,
        on_step: OnStep | None = None,
        on_pixels: OnPixels = None,
    ) -> Result:
        """Fuse with a pipeline, attach colour and alpha, return in the output's depth."""
        from .record import make_record, metadata_record

        began = time.perf_counter()
        pixels, weighed, spent = (self._in_rgb if self.in_rgb else self._in_luma)(
            pipeline, seed, on_step, on_pixels
        )
        fused = replace(
            weighed,
            nfe=weighed.nfe + sum(quiet.nfe for quiet in spent),
            tiled=min(filter(None, [weighed.tiled, *(quiet.tiled for quiet in spent)]), default=0),
            retries=weighed.retries + sum(quiet.retries for quiet in spent),
        )
        alpha = self.storage.stored_alpha()
        record = make_record(
            pipeline,
            fused,
            seed=pipeline.settings.seed if seed is None else seed,
            pictures=self.pictures,
            colour={"fused": "rgb"} if self.in_rgb else {"fused": "luma", **self.plan.record()},
            noise=[noise.channel for noise in self.noise],
            output=self.format,
            notes=self.notes,
            seconds=time.perf_counter() - began,
            metadata={"from": self.pictures[0].name, **metadata_record(self.storage.metadata)},
        )
        like = self._like_sources(pixels, alpha)
        return Result(like, record, pixels, alpha, self.plan.icc, self.paths, self.storage.metadata)

    @property
    def in_rgb(self) -> bool:
        """Whether all channels are fused: where that is asked for, and there is colour."""
        return self.rgb and self.plan.kind != "grey"

    def _in_luma(
        self, pipeline: Pipeline, seed: int | None, on_step: OnStep | None, on_pixels: OnPixels
    ) -> tuple[NDArray[Any], Fused, list[Denoised]]:
        """Return the pixels of fused luminance in colour, what was fused, and denoised for it."""
        import torch

        luma = torch.from_numpy(self.plan.luma)[:, None, None].mul(2).sub_(1)
        plan, spent = self._quiet_colour(pipeline, seed, on_pixels)
        fused = pipeline(luma, seed, on_step, self.luma_noise, on_pixels)
        image = ((fused.image[0, 0] + 1) / 2).cpu().numpy()
        weights = fused.weights[:, 0, 0].cpu().numpy()
        if plan.shown is not None:
            quiet, more = self._quiet(
                self.plan.luma[:, None], self.luma_noise, pipeline, seed, on_pixels
            )
            image = left_to_one(image, quiet[:, 0], plan.shown)
            spent += more
        return self.storage.pixels(plan, image, weights), fused, spent

    def _in_rgb(
        self, pipeline: Pipeline, seed: int | None, on_step: OnStep | None, on_pixels: OnPixels
    ) -> tuple[NDArray[Any], Fused, list[Denoised]]:
        """Return the pixels of fused channels, what was fused, and what was denoised for it."""
        import torch

        planes = planes_of(self.pictures, self.plan.shown)
        sigmas = [noise.channel / 127.5 for noise in self.noise]
        sources = torch.from_numpy(planes)[:, None].mul(2).sub_(1)
        fused = pipeline(sources, seed, on_step, sigmas, on_pixels)
        image = ((fused.image[0] + 1) / 2).cpu().numpy()
        spent: list[Denoised] = []
        if self.plan.shown is not None:
            quiet, spent = self._quiet(planes, sigmas, pipeline, seed, on_pixels)
            image = planes_left_to_one(image, quiet, self.plan.shown)
        return self.storage.planes(image), fused, spent

    @property
    def luma_noise(self) -> list[float]:
        """The noise to be taken off of every source's luma, in units of images in [-1, 1]."""
        return [noise.luma / 127.5 for noise in self.noise]

    def _quiet_colour(
        self,
        pipeline: Pipeline,
        seed: int | None,
        on_pixels: OnPixels,
    ) -> tuple[ColourPlan, list[Denoised]]:
        """Return the plan with chroma from denoised sources, and what was denoised for it."""
        import torch

        offsets = dict(self.plan.offsets)
        spent: list[Denoised] = []
        for source in [source for source in offsets if self.noise[source].channel > 0]:
            unit = torch.from_numpy(self.pictures[source].unit())
            planes = unit.movedim(-1, 0)[None] * 2 - 1
            sigma = self.noise[source].channel / 127.5
            spent.append(pipeline.denoise(planes, sigma, seed, on_pixels))
            quiet = ((spent[-1].images[0] + 1) / 2).clamp(0, 1)
            offsets[source] = chroma_offset(quiet.movedim(0, -1).cpu().numpy())
            if self.plan.shown is not None:
                offsets[source][~self.plan.shown[source]] = 0
        return replace(self.plan, offsets=offsets), spent

    def _quiet(
        self,
        planes: NDArray[np.float32],
        sigmas: Sequence[float],
        pipeline: Pipeline,
        seed: int | None,
        on_pixels: OnPixels,
    ) -> tuple[NDArray[Any], list[Denoised]]:
        """Return the planes of the sources, (K, C, H, W), denoised, and what was denoised."""
        import torch

        planes = planes.copy()
        spent: list[Denoised] = []
        for source in [source for source, sigma in enumerate(sigmas) if sigma > 0]:
            images = torch.from_numpy(planes[source])[None] * 2 - 1
            spent.append(pipeline.denoise(images, sigmas[source], seed, on_pixels))
            planes[source] = ((spent[-1].images[0] + 1) / 2).clamp(0, 1).cpu().numpy()
        return planes, spent

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


def _has_channel_axis(source: Source) -> bool:
    return getattr(source, "ndim", 2) == 3
