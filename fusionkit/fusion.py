"""Fusing real images: paths, arrays or tensors in, an image of their kind and a record out."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from .components import Registry
from .errors import FusionkitWarning, UsageError
from .imaging import (
    ColourPlan,
    OutputFormat,
    Picture,
    SourceNoise,
    check_fits,
    check_same_size,
    chroma_offset,
    common_alpha,
    encode_picture,
    held,
    in_one_profile,
    left_to_one,
    orientation_notes,
    output_format,
    plan_colour,
    shown_by,
    source_noise,
)
from .imaging.metadata import NO_METADATA, Metadata
from .imaging.sources import Source, is_tensor, source_pictures
from .recipe import Layer
from .saving import Kept, check_result, record_path_of, save_result
from .settings import Settings, SettingsDict
from .storing import Storage

# Sources are read, and what is wrong with them is said, before torch takes seconds to import.
if TYPE_CHECKING:
    from torch import Tensor

    from .pipeline import Denoised, Pipeline
    from .protocols import NoiseEstimator, Objective, Weighting
    from .sampler import SampledStep


@dataclass(frozen=True, eq=False)
class Result:
    """A fused image and how it was made.

    Attributes
    ----------
    image
        An array (H, W) or (H, W, C), C = 2 and 4 with alpha last; a tensor (H, W) or
        (C, H, W) where all sources were tensors. Its dtype is that of the
        deepest source, its range the sources' own (:func:`fusionkit.imaging.output_format`).
    record
        JSON-ready: recipe, plugins, inputs, colour plan, NFE, time, libraries.
    """

    image: NDArray[Any] | Tensor
    record: dict[str, Any]
    pixels: NDArray[Any]
    alpha: NDArray[Any] | None
    icc: bytes | None
    sources: tuple[str, ...] = ()
    metadata: Metadata = NO_METADATA

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        kind = "grey" if self.pixels.ndim == 2 else "RGB"
        parts = [str(part["name"]) for part in self.record["components"].values()]
        return (
            f"<Result {width}x{height} {self.pixels.dtype} {kind}"
            f"{'' if self.alpha is None else ' with alpha'}, {' '.join(parts)}>"
        )

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the image, and the record beside it (``out.png`` gets ``out.png.json``).

        Folders that are missing are made. The record gets the SHA-256 of the image's file, and
        its ``metadata`` are those that the format holds.

        Raises
        ------
        UsageError
            The file exists and ``overwrite`` is false, is one of the sources, or cannot be
            written, or the format cannot hold the image's depth or alpha.
        """
        from .record import metadata_record

        Kept(self.sources).refuse(path, record_path_of(path))
        quality = self.record["recipe"]["quality"]
        channels = 1 if self.pixels.ndim == 2 else 3
        icc, metadata = held(path, self.icc, channels, self.metadata)
        left_out = [] if icc == self.icc else ["ICC profile"]
        self.record["metadata"] |= metadata_record(metadata, left_out)
        data = encode_picture(path, self.pixels, self.alpha, icc, quality, metadata)
        save_result(path, data, self.record, overwrite=overwrite)


@dataclass(frozen=True, eq=False)
class Scene:
    """K registered sources of one scene, read, checked, and planned for fusion."""

    pictures: tuple[Picture, ...]
    plan: ColourPlan
    storage: Storage
    differ_in_alpha: bool
    noise: tuple[SourceNoise, ...]
    finds_no_noise: bool
    as_tensor: bool
    keeps_axis: bool
    paths: tuple[str, ...]

    @classmethod
    def load(cls, sources: Sequence[Source], settings: Settings) -> Scene:
        """Read and check the sources; raise ImageError naming the one that cannot be used."""
        if isinstance(sources, (str, os.PathLike)):
            sources = [sources]
        pictures = source_pictures(sources, settings.range, settings.stretch)
        check_same_size(pictures)
        pictures = in_one_profile(pictures)
        alpha, opaque = common_alpha(pictures)
        shown = shown_by(pictures, opaque)
        plan = plan_colour(pictures, settings.chroma, shown)
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
        """Say what an output of that name loses: a colour profile is not lost without a word."""
        icc, _ = held(path, self.plan.icc, self.plan.layout, self.storage.metadata)
        described = {picture.name for picture in self.pictures if picture.icc is not None}
        if icc is not None or not described:
            return ()
        return (f"{os.fspath(path)}: it cannot hold the colour profile of {min(described)}",)

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
        on_step: Callable[[SampledStep], None] | None = None,
        on_pixels: Callable[[float], None] | None = None,
    ) -> Result:
        """Fuse luminance with a pipeline, attach colour and alpha, return in the output's depth."""
        import torch

        from .record import make_record, metadata_record

        began = time.perf_counter()
        luma = torch.from_numpy(self.plan.luma)[:, None, None].mul(2).sub_(1)
        plan, spent = self._quiet_colour(pipeline, seed, on_pixels)
        fused = pipeline(luma, seed, on_step, self.luma_noise, on_pixels)
        image = ((fused.image[0, 0] + 1) / 2).cpu().numpy()
        weights = fused.weights[:, 0, 0].cpu().numpy()
        if plan.shown is not None:
            quiet, more = self._quiet_luma(pipeline, seed, on_pixels)
            image = left_to_one(image, quiet, plan.shown)
            spent += more
        fused = replace(
            fused,
            nfe=fused.nfe + sum(quiet.nfe for quiet in spent),
            tiled=min(filter(None, [fused.tiled, *(quiet.tiled for quiet in spent)]), default=0),
            retries=fused.retries + sum(quiet.retries for quiet in spent),
        )
        pixels, alpha = self.storage.pixels(plan, image, weights), self.storage.stored_alpha()
        record = make_record(
            pipeline,
            fused,
            seed=pipeline.settings.seed if seed is None else seed,
            pictures=self.pictures,
            colour=self.plan.record(),
            noise=[noise.channel for noise in self.noise],
            output=self.format,
            notes=self.notes,
            seconds=time.perf_counter() - began,
            metadata={"from": self.pictures[0].name, **metadata_record(self.storage.metadata)},
        )
        like = self._like_sources(pixels, alpha)
        return Result(like, record, pixels, alpha, self.plan.icc, self.paths, self.storage.metadata)

    @property
    def luma_noise(self) -> list[float]:
        """The noise to be taken off of every source's luma, in units of images in [-1, 1]."""
        return [noise.luma / 127.5 for noise in self.noise]

    def _quiet_colour(
        self,
        pipeline: Pipeline,
        seed: int | None,
        on_pixels: Callable[[float], None] | None,
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

    def _quiet_luma(
        self,
        pipeline: Pipeline,
        seed: int | None,
        on_pixels: Callable[[float], None] | None,
    ) -> tuple[NDArray[Any], list[Denoised]]:
        """Return the luma of the sources, (K, H, W), denoised, and what was denoised for it."""
        import torch

        luma = self.plan.luma.copy()
        spent: list[Denoised] = []
        for source in [source for source, noise in enumerate(self.noise) if noise.luma > 0]:
            planes = torch.from_numpy(luma[source])[None, None] * 2 - 1
            spent.append(pipeline.denoise(planes, self.luma_noise[source], seed, on_pixels))
            quiet = spent[-1].images[0, 0]
            luma[source] = ((quiet + 1) / 2).clamp(0, 1).cpu().numpy()
        return luma, spent

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


def fuse(
    sources: Sequence[Source],
    *more: object,
    task: str | None = None,
    recipe: str | Path | Layer | None = None,
    estimator: str | Mapping[str, Any] | NoiseEstimator | None = None,
    weighting: str | Mapping[str, Any] | Weighting | None = None,
    objective: str | Mapping[str, Any] | Objective | None = None,
    registry: Registry | None = None,
    pipeline: Pipeline | None = None,
    on_step: Callable[[SampledStep], None] | None = None,
    cache: str | os.PathLike[str] | None = None,
    **settings: Unpack[SettingsDict],
) -> Result:
    """Fuse registered images of one scene.

    Parameters
    ----------
    sources
        At least two, of one size: paths; bytes of image files, or files open for
        reading; PIL images; arrays (H, W) or (H, W, C); tensors (H, W) or (C, H, W). C is
        1 to 4: grey, grey + alpha, RGB, RGBA. Integers span their dtype's range,
        floats [0, 1]; ``range`` says otherwise. Or one path, of a file that is a stack:
        a TIFF with pages, an NPY array (K, H, W) or (K, H, W, C).
    more
        None: sources that are not in one list are an error that says so.
    task, recipe, estimator, weighting, objective, registry, cache, **settings
        See :func:`fusionkit.compose` and :class:`fusionkit.Settings`.
    pipeline
        A composed pipeline in their place, to fuse many scenes with one set of
        loaded models; only ``seed`` may then be given beside it.
    on_step
        Called with every finished step.

    Returns
    -------
    Result
        ``image`` in the sources' own dtype and layout, ``record``, ``save(path)``.

    Raises
    ------
    ImageError
        A source cannot be read, or the sources do not go together.
    UsageError
        An unknown name, option or value.
    PluginError
        A component failed or broke its contract during the run.

    Warns
    -----
    FusionkitWarning
        For what the person should know of a source, such as a range hardly used.

    Examples
    --------
    Two focus settings as arrays; what comes out is of their kind:

    >>> import numpy as np
    >>> scene = np.tile(np.array([40, 200], np.uint8), (48, 24))
    >>> near, far = scene.copy(), scene.copy()
    >>> near[:, 24:] = far[:, :24] = 120
    >>> result = fuse([near, far], weighting={"name": "saliency", "window": 5})
    >>> result.image.shape, result.image.dtype
    ((48, 48), dtype('uint8'))
    >>> bool(np.abs(result.image.astype(int) - scene)[:, :20].max() < 30)
    True
    """
    if more:
        raise UsageError("give the sources in one list: fuse([a, b]), not fuse(a, b)")
    seed = settings.get("seed")
    if pipeline is None:
        from .composing import compose

        pipeline = compose(
            task=task,
            recipe=recipe,
            estimator=estimator,
            weighting=weighting,
            objective=objective,
            registry=registry,
            cache=cache,
            **settings,
        )
    elif set(settings) - {"seed"} or any((task, recipe, estimator, weighting, objective, cache)):
        raise UsageError("a pipeline is already composed: only seed may be given beside it")
    scene = Scene.load(sources, pipeline.settings)
    for note in scene.notes:
        warnings.warn(note, FusionkitWarning, stacklevel=2)
    return scene.fuse(pipeline, seed, on_step)


def _has_channel_axis(source: Source) -> bool:
    return getattr(source, "ndim", 2) == 3
