"""The preparation ``observe``: sources as sensors give them, made scenes of one grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionkit import (
    BasePreparation,
    BuildContext,
    Identity,
    Observed,
    Prepared,
    PriorAtHand,
    Registry,
    Sources,
    StartedObservation,
    UsageError,
    load_plugins,
    parse_observations,
    start_chain,
)
from fusionkit.imaging import Picture, luma_of

from .guesses import guess
from .splitting import Restored, restore

_LEAST_SHARE = 0.5
"""Detail taken from other sources that is told of, root mean square of 255."""


@dataclass(frozen=True, eq=False)
class _Source:
    """One source: what was said of it, what was measured, and how."""

    text: str
    tables: list[dict[str, Any]]
    y: Tensor
    observation: StartedObservation

    @property
    def fills(self) -> bool:
        """Whether what a file says nothing of is to be filled, too."""
        return any(table["name"].endswith(":mask") for table in self.tables)


class _Missing:
    """Hides what nobody measured."""

    def start(self, y: Tensor, size: tuple[int, int]) -> Identity:
        return Identity(mask=(~y.isnan().any(1, keepdim=True)).to(y.dtype))


class Observe(BasePreparation):
    """Restores what chains of observations speak of, and what has fewer pixels.

    Parameters
    ----------
    chains
        ``"K:CHAIN"``, see :func:`fusionkit.recipes.observing.parse_observations`.
    guided, levels
        As of :func:`.splitting.restore`.
    registry
        Where observations are found; default: all installed plugins.
    """

    stage: Literal["geometry", "radiometry", "restoration"] = "restoration"
    uses_seed = True

    def __init__(
        self,
        chains: Sequence[str],
        guided: bool = True,
        levels: int = 10,
        registry: Registry | None = None,
    ) -> None:
        self._chains = tuple(chains)
        self._guided = guided
        self._levels = levels
        self._registry = load_plugins() if registry is None else registry

    def evaluations(self, sources: Sources) -> float:
        """Return the levels of every source that is spoken of; of one that is only noisy, fewer."""
        return float(self._levels * (len(self._chains) + len(self._implied(sources))))

    def prepare(self, sources: Sources, prior: PriorAtHand) -> Prepared:
        """Return the scene with what its sources are estimated to show.

        Raises
        ------
        UsageError
            A chain is not well-formed, or does not fit its source; the message begins with it.
        """
        size = (int(sources.planes.shape[2]), int(sources.planes.shape[3]))
        said = self._said(sources)
        found = {k: _start(observed, sources, prior, size) for k, observed in said.items()}
        if not found:
            return Prepared(sources)
        whole = start_chain([], torch.zeros(1, 1, *size), size)
        planes = torch.from_numpy(sources.planes).to(prior.device, prior.dtype).mul(2).sub(1)
        measured = [found[k].y if k in found else planes[k : k + 1] for k in range(len(planes))]
        observations = [found[k].observation if k in found else whole for k in range(len(planes))]

        def denoise(x: Tensor, sigmas: Sequence[float], white: bool) -> Tensor:
            # What is wrong in an estimate is the same in all channels; white noise is not.
            channels = prior.channels or 1
            if white or x.shape[1] != 1 or channels == 1:
                return prior.denoise(x, sigmas)
            return prior.denoise(x.expand(-1, channels, -1, -1), sigmas).mean(1, keepdim=True)

        restored = restore(
            measured, observations, size, denoise, levels=self._levels, guided=self._guided
        )
        after = sources.planes.copy()
        colour = dict(sources.colour)
        shown = None if sources.shown is None else sources.shown.copy()
        for k, source in found.items():
            after[k] = _unit(restored.images[k][0])
            if k in colour:
                colour[k] = _recoloured(sources, k, source, restored.images[k], size)
            if shown is not None and source.fills:
                shown[k] = True
            elif shown is not None:
                after[k] = np.where(shown[k], after[k], sources.planes[k])
        shown = None if shown is None or shown.all() else shown
        prepared = replace(sources, planes=after, colour=colour, shown=shown)
        notes = self._notes(sources, found, restored)
        return Prepared(prepared, self._record(found, restored), notes)

    def _said(self, sources: Sources) -> dict[int, Observed]:
        texts = [*self._chains, *self._implied(sources).values()]
        found = parse_observations(texts, len(sources.pictures), self._registry)
        return {each.source: each for each in found}

    def _implied(self, sources: Sources) -> dict[int, str]:
        """Return the chains of sources of fewer pixels that nothing is said of, by source."""
        numbers = [text.partition(":")[0].strip() for text in self._chains]
        named = {int(number) for number in numbers if number.isdecimal()}
        return {
            k: f"{k + 1}:downsample"
            for k, picture in enumerate(sources.pictures)
            if picture.measured is not None and k + 1 not in named
        }

    def _record(self, found: dict[int, _Source], restored: Restored) -> dict[str, Any]:
        return {
            "sources": {
                str(k + 1): {
                    "chain": source.tables,
                    "size": [int(side) for side in source.y.shape[:1:-1]],
                    "noise": round(source.observation.sigma * 127.5, 2),
                    "hidden": _hidden(source.observation),
                    "taken": round(_taken(restored, k), 2),
                }
                for k, source in found.items()
            },
            "evaluations": restored.evaluations,
        }

    def _notes(self, sources: Sources, found: dict[int, _Source], restored: Restored) -> list[str]:
        notes = []
        implied = self._implied(sources)
        for k, source in found.items():
            name, picture = sources.names[k], sources.pictures[k]
            if k in implied and picture.measured is not None:
                factor = picture.width / picture.measured.width
                notes.append(
                    f"{name}: {picture.measured.width}x{picture.measured.height} pixels are taken "
                    f"as those of the others, {factor:.3g} times fewer an axis (--observe "
                    f"{source.text})"
                )
            if (taken := _taken(restored, k)) >= _LEAST_SHARE:
                notes.append(
                    f"{name}: detail of {taken:.2g} of 255 comes from what other sources show; "
                    "--no-observe.guided leaves it out"
                )
        return notes


def _start(
    observed: Observed, sources: Sources, prior: PriorAtHand, size: tuple[int, int]
) -> _Source:
    """Start a chain on its source."""
    k = observed.source
    plane = _measured(sources, k)
    y = torch.from_numpy(plane)[None].to(prior.device, prior.dtype).mul(2).sub(1)
    try:
        built = [choice.provided.build(choice.options, BuildContext()) for choice in observed.chain]
        observation = start_chain([*built, _Missing()] if y.isnan().any() else built, y, size)
    except UsageError as error:
        raise UsageError(f"{sources.names[k]}, --observe {observed.text}: {error}") from None
    return _Source(observed.text, observed.as_tables(), y.nan_to_num(0.0), observation)


def _measured(sources: Sources, k: int) -> NDArray[np.float32]:
    """Return what was measured of source k, (C, h, w); NaN where nothing was."""
    picture = sources.pictures[k]
    if picture.measured is None:
        plane: NDArray[np.float32] = sources.planes[k].copy()
        if sources.shown is not None:
            plane[:, ~sources.shown[k]] = np.nan
        return plane
    plane = _planes(picture.measured, len(sources.planes[k]))
    if (mask := picture.measured.mask) is not None:
        plane[:, ~mask] = np.nan
    return plane


def _planes(picture: Picture, channels: int) -> NDArray[np.float32]:
    """Return a picture's luma, or its channels, (C, h, w)."""
    unit = picture.unit()
    if channels == 1:
        grey = unit if unit.ndim == 2 else luma_of(unit)
        return np.array(grey, np.float32)[None]
    colour = np.moveaxis(unit, -1, 0) if unit.ndim == 3 else np.repeat(unit[None], channels, 0)
    planes: NDArray[np.float32] = np.ascontiguousarray(colour)
    return planes


def _recoloured(
    sources: Sources, k: int, source: _Source, luma: Tensor, size: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the colour of a source, (H, W, 3): its smooth guess, of the luma that was restored."""
    small = sources.pictures[k].measured
    image = sources.colour[k] if small is None else small.unit()
    y = torch.from_numpy(np.moveaxis(image, -1, 0).copy())[None].to(luma).mul(2).sub(1)
    grey = torch.from_numpy(luma_of(image))[None, None].to(luma).mul(2).sub(1)
    # Of what is hidden nothing counts, whatever it holds.
    chroma = guess((y - grey).nan_to_num(0.0), source.observation, size)
    colour: NDArray[np.float32] = np.moveaxis(_unit((luma + chroma)[0]).clip(0, 1), 0, -1)
    return colour


def _hidden(observation: StartedObservation) -> float:
    """Return the share of pixels that say nothing, to 4 digits."""
    mask = observation.mask
    return 0.0 if mask is None else round(float((mask == 0).double().mean()), 4)


def _taken(restored: Restored, k: int) -> float:
    """Return the root mean square of detail from other sources, of 255."""
    return float(restored.taken[k].square().mean().sqrt()) * 127.5


def _unit(images: Tensor) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = ((images + 1) / 2).float().cpu().numpy()
    return unit
