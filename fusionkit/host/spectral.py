"""Scenes whose sources have any number of bands, all fused with common weights."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..contract.preparation import Sources
from ..errors import ImageError
from ..imaging import Picture, check_same_size, output_format, plan_colour
from ..imaging.masks import filled
from ..imaging.sources import Source, is_tensor, listed
from ..imaging.spectral import band_pictures
from ..imaging.storing import Storage
from ..imaging.write import check_bands
from ..recipes.deciding import Decision
from ..recipes.finding import DEFAULT_TASK
from ..recipes.preparing import NOTHING_MADE, Made
from ..recipes.settings import Settings
from .carrying import carried
from .scene import Scene


def load_scene(sources: Sequence[Source], settings: Settings, made: Made = NOTHING_MADE) -> Scene:
    """Read a scene in colour, as :meth:`Scene.load`, or in bands, as the settings say."""
    if settings.colour == "bands":
        return SpectralScene.load(sources, settings, made)
    return Scene.load(sources, settings, made)


@dataclass(frozen=True, eq=False)
class SpectralScene(Scene):
    """K registered sources of N bands each.

    ``pictures`` are the first bands, called after their sources; ``bands`` are all.
    """

    bands: tuple[tuple[Picture, ...], ...] = ()

    @classmethod
    def load(
        cls, sources: Sequence[Source], settings: Settings, made: Made = NOTHING_MADE
    ) -> SpectralScene:
        """Read and check the sources; raise ImageError naming the one that cannot be used.

        Noise and shifts are not looked for: bands differ.
        """
        sources = listed(sources)
        bands = band_pictures(sources, settings.range, settings.stretch)
        every = [picture for source in bands for picture in source]
        check_same_size(every)
        first = tuple(_of_source(source) for source in bands)
        seen = [_shown(source) for source in bands]
        whole = np.ones(first[0].shape, np.bool_)
        masked = any(mask is not None for mask in seen)
        shown = np.stack([whole if mask is None else mask for mask in seen]) if masked else None
        metadata = carried(first[0], settings)
        format = output_format(every, settings.depth)

        def store(shown: NDArray[np.bool_] | None) -> Storage:
            storage = Storage.of(first[0], format, None, shown, metadata)
            if storage.alpha is not None:
                raise ImageError(
                    "there are pixels that no source shows, and bands have no alpha: "
                    "give --depth float, which holds NaN"
                )
            return storage

        return cls(
            first,
            plan_colour(first, "none", shown),
            store(shown),
            store,
            differ_in_alpha=False,
            faults=(),
            rgb=True,
            as_tensor=all(is_tensor(source) for source in sources),
            keeps_axis=False,
            paths=tuple(os.fspath(s) for s in sources if isinstance(s, (str, os.PathLike))),
            bands=bands,
        )

    def decided(self, alike: bool = False) -> Decision:
        """Return the default: no rule is one for bands."""
        return Decision(DEFAULT_TASK, "no rule is one for bands")

    def of_task(self, decision: Decision, settings: Settings) -> Self:
        """Return the scene; its plan is that of every task."""
        return replace(self, decision=decision)

    @property
    def fused_as(self) -> str:
        """What is fused: ``bands``."""
        return "bands"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the person should know about the sources."""
        notes = [note for source in self.bands for picture in source for note in picture.notes]
        return (*dict.fromkeys(notes), *self.storage.notes)

    @cached_property
    def sources(self) -> Sources:
        """The scene as preparations are given it: (K, N, H, W) planes."""
        planes = np.stack([[band.unit() for band in source] for source in self.bands])
        shown = self.plan.shown
        if shown is not None:
            for n in range(planes.shape[1]):
                planes[:, n] = filled(planes[:, n], shown)
        return Sources(self.pictures, planes, {}, shown)

    def check_output(
        self, path: str | os.PathLike[str], overwrite: bool = False, resume: bool = False
    ) -> None:
        """Raise, before anything is computed, if the result could not be written there."""
        check_bands(path, len(self.bands[0]))
        super().check_output(path, overwrite, resume)

    def _like_sources(self, pixels: NDArray[Any], alpha: NDArray[Any] | None) -> Any:
        planes = np.moveaxis(np.atleast_3d(pixels), -1, 0)
        if not self.as_tensor:
            return planes
        import torch

        return torch.from_numpy(planes.copy())


def _of_source(bands: Sequence[Picture]) -> Picture:
    """Return the first band, called after the source."""
    return replace(bands[0], name=bands[0].name.rpartition(", band ")[0])


def _shown(bands: Sequence[Picture]) -> NDArray[np.bool_] | None:
    masks = [picture.mask for picture in bands if picture.mask is not None]
    return np.logical_and.reduce(masks) if masks else None
