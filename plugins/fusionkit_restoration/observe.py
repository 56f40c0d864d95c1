"""The preparation ``observe``: sources as sensors give them, made scenes of one grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from fusionkit.imaging import luma_of

from .drawing import draw
from .guesses import guess
from .measured import measured_of
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
    samples
        How many scenes are drawn that may have been measured.
    maps
        Whether what each source takes from the others is returned.
    """

    stage: Literal["geometry", "radiometry", "restoration"] = "restoration"
    uses_seed = True

    def __init__(
        self,
        chains: Sequence[str],
        guided: bool = True,
        levels: int = 10,
        registry: Registry | None = None,
        *,
        samples: int = 0,
        maps: bool = False,
    ) -> None:
        self._chains = tuple(chains)
        self._guided = guided
        self._levels = levels
        self._samples = samples
        self._maps = maps
        self._registry = load_plugins() if registry is None else registry

    def evaluations(self, sources: Sources) -> float:
        """Return the levels of every source that is spoken of; of one that is only noisy, fewer."""
        times = 1 + self._samples + (self._maps and self._guided)
        return float(times * self._levels * (len(self._chains) + len(self._implied(sources))))

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

        def restored_by(guided: bool) -> Restored:
            return restore(
                measured, observations, size, denoise, levels=self._levels, guided=guided
            )

        restored = restored_by(self._guided)
        colour = dict(sources.colour)
        for k in found.keys() & colour.keys():
            colour[k] = _recoloured(sources, k, found[k], restored.images[k], size)
        after = _with_images(sources, found, {k: restored.images[k] for k in found})
        shown = after.shown
        after = replace(after, colour=colour)
        samples = [
            replace(after, planes=_with_images(sources, found, drawn).planes)
            for drawn in self._drawn(found, size, prior)
        ]
        maps = {}
        if self._maps:
            alone = restored_by(False) if self._guided else restored
            maps = {
                f"taken.{k + 1}": _map_of(restored.images[k] - alone.images[k], shown, k)
                for k in found
            }
        notes = self._notes(sources, found, restored)
        return Prepared(after, self._record(found, restored), notes, maps, samples)

    def _drawn(
        self, found: dict[int, _Source], size: tuple[int, int], prior: PriorAtHand
    ) -> Iterator[dict[int, Tensor]]:
        """Yield samples of all sources that are spoken of, each drawn by itself."""
        begun = {
            k: guess(source.y, source.observation, size)
            for k, source in found.items()
            if self._samples
        }
        for n in range(self._samples):
            drawn = {}
            for k, source in found.items():

                def noise(shape: Sequence[int], i: int, n: int = n, k: int = k) -> Tensor:
                    return prior.noise(shape, f"restoration/draw/{k}", n * self._levels + i)

                C = source.y.shape[1]
                channels = C if C > 1 else prior.channels or 1
                drawn[k] = draw(
                    begun[k],
                    source.y,
                    source.observation,
                    prior.denoise,
                    noise,
                    levels=self._levels,
                    channels=channels,
                )
            yield drawn

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
            **({"samples": self._samples} if self._samples else {}),
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


def _with_images(sources: Sources, found: dict[int, _Source], images: dict[int, Tensor]) -> Sources:
    """Return the scene with images (1, C, H, W) instead of its sources, where those show it."""
    planes = sources.planes.copy()
    shown = None if sources.shown is None else sources.shown.copy()
    for k, source in found.items():
        planes[k] = _unit(images[k][0])
        if shown is not None and source.fills:
            shown[k] = True
        elif shown is not None:
            planes[k] = np.where(shown[k], planes[k], sources.planes[k])
    shown = None if shown is None or shown.all() else shown
    return replace(sources, planes=planes, shown=shown)


def _map_of(difference: Tensor, shown: NDArray[np.bool_] | None, k: int) -> NDArray[np.float32]:
    """Return a difference of images, (1, C, H, W), of 255: (H, W), the mean over channels."""
    levels = difference[0].mean(0) * 127.5
    image: NDArray[np.float32] = levels.float().cpu().numpy()
    return image if shown is None else np.where(shown[k], image, np.float32(0))


def _start(
    observed: Observed, sources: Sources, prior: PriorAtHand, size: tuple[int, int]
) -> _Source:
    """Start a chain on its source."""
    k = observed.source
    plane = measured_of(sources, k)
    y = torch.from_numpy(plane)[None].to(prior.device, prior.dtype).mul(2).sub(1)
    try:
        built = [choice.provided.build(choice.options, BuildContext()) for choice in observed.chain]
        observation = start_chain([*built, _Missing()] if y.isnan().any() else built, y, size)
    except UsageError as error:
        raise UsageError(f"{sources.names[k]}, --observe {observed.text}: {error}") from None
    return _Source(observed.text, observed.as_tables(), y.nan_to_num(0.0), observation)


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
