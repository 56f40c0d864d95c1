"""Preparing the sources of a scene: what a recipe's preparations make of them, before fusion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..contract.preparation import STAGES, Prepared, Sources
from ..errors import PluginError
from ..ops.sending import sent
from ..sampling.evaluator import Evaluator
from ..sampling.flags import blame
from ..sampling.run import standard_normal
from .parts import Part


class ScenePrior:
    """The prior of a pipeline, for the preparations of one scene (``PriorAtHand``).

    Parameters
    ----------
    evaluator
        Pads, splits into tiles, and counts.
    channels
        The channels that the prior takes at once; None for any number.
    seed
        Of the scene.
    device, dtype
        Of the run.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        channels: int | None,
        seed: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.device = device
        self.dtype = dtype
        self.evaluator = evaluator
        self.channels = channels
        self._seed = seed

    def denoise(self, x: Tensor, sigmas: Sequence[float]) -> Tensor:
        """Return clean estimates of images (M, C, H, W) at levels (M,)."""
        if len(sigmas) != len(x) or not all(0 < sigma < math.inf for sigma in sigmas):
            raise ValueError(f"{len(x)} images need as many levels above 0, not {list(sigmas)}")
        y = x.to(self.device, self.dtype)
        wide = y.shape[1] if self.channels in (None, 1) else int(self.channels or 1)
        if y.shape[1] not in (1, wide):
            raise ValueError(f"the prior takes {wide} channels, or 1, not {y.shape[1]}")
        if y.shape[1] == wide:
            return self.evaluator.clean(y, sigmas)
        # A colour prior knows noise that differs between channels: a grey image becomes C channels
        # of sqrt(C) sigma, whose mean it is (a sufficient statistic: nothing is added, or lost).
        widening = math.sqrt(wide)
        # One field for all, so that their order cannot matter.
        fresh = self.noise((wide, *y.shape[-2:]), "fusionkit/split")
        levels = sent(torch.tensor(sigmas, device="cpu"), y.device, y.dtype).view(-1, 1, 1, 1)
        split = y + widening * levels * (fresh - fresh.mean(0, keepdim=True))
        clean = self.evaluator.clean(split, [sigma * widening for sigma in sigmas])
        return clean.mean(1, keepdim=True)

    def noise(self, shape: Sequence[int], purpose: str, index: int = 0) -> Tensor:
        """Return standard normal noise, keyed by (seed, purpose, index)."""
        drawn = standard_normal(tuple(shape), (self._seed,), purpose, index)[0]
        return drawn.to(self.device, self.dtype)


@dataclass
class Preparing:
    """What the preparations of one scene made of it, and what they cost.

    Attributes
    ----------
    sources
        The scene.
    record
        What each decided, by what the recipe calls it.
    notes
        What the person should know.
    maps, samples
        As of :class:`fusionkit.Prepared`.
    nfe
        Images that the prior was asked for, of the sources' size.
    tiled, retries
        As of :class:`fusionkit.Fused`.
    """

    sources: Sources
    record: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    maps: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    samples: list[Sources] = field(default_factory=list)
    nfe: float = 0.0
    tiled: int = 0
    retries: int = 0


def ordered(preparations: Mapping[str, Part]) -> dict[str, Part]:
    """Return preparations in the order in which they are made: by stage, then by name.

    Raises
    ------
    PluginError
        One has a stage that there is not.
    """
    for part in preparations.values():
        if part.built.stage not in STAGES:
            raise PluginError(
                f"{part.label}: its stage is one of {', '.join(STAGES)}, not {part.built.stage!r}"
            )

    def place(name: str) -> tuple[int, str]:
        return STAGES.index(preparations[name].built.stage), name

    return {name: preparations[name] for name in sorted(preparations, key=place)}


def prepare(
    sources: Sources,
    preparations: Mapping[str, Part],
    prior: ScenePrior,
) -> Preparing:
    """Make preparations, one after another.

    Raises
    ------
    PluginError
        One failed, or returned what is no scene of the same size, or not finite.
    """
    done, evaluator = Preparing(sources), prior.evaluator
    for name, part in preparations.items():
        with blame(part.label), torch.no_grad():
            prepared = part.built.prepare(done.sources, prior)
            samples = [part.built.prepare(sample, prior).sources for sample in done.samples]
        check_prepared(prepared, done.sources, part.label)
        done.sources = prepared.sources
        done.record[name] = dict(prepared.record)
        done.notes += prepared.notes
        done.maps |= prepared.maps
        # What follows is done to samples as well.
        done.samples = list(prepared.samples) or samples
    evaluator.flags.verify()
    height, width = sources.planes.shape[-2:]
    done.nfe = evaluator.pixels / (height * width)
    done.tiled, done.retries = evaluator.tiled, evaluator.retries
    return done


def check_prepared(prepared: Any, before: Sources, who: str) -> None:
    """Raise PluginError unless a preparation returned a scene of the form that it was given."""
    if not isinstance(prepared, Prepared) or not isinstance(prepared.sources, Sources):
        raise PluginError(f"{who} returned {type(prepared).__name__}, not fusionkit.Prepared")
    for sample in prepared.samples:
        check_prepared(Prepared(sample), before, who)
    after = prepared.sources
    for name, image in prepared.maps.items():
        if image.shape != before.planes.shape[2:] or not np.isfinite(image).all():
            raise PluginError(f"{who} returned a map {name!r} that is not (H, W), or not finite")
    if set(after.colour) != set(before.colour):
        raise PluginError(f"{who} returned colour of other sources than it was given")
    arrays = {"planes": (before.planes, after.planes)}
    for k, image in after.colour.items():
        arrays[f"colour of source {k + 1}"] = (before.colour[k], image)
    for what, (old, new) in arrays.items():
        if not isinstance(new, np.ndarray) or new.shape != old.shape or new.dtype != old.dtype:
            raise PluginError(f"{who} returned {what} that are not {old.shape} of {old.dtype}")
        if not np.isfinite(new).all():
            raise PluginError(f"{who} returned {what} with values that are not finite")
    mask = after.shown
    if mask is not None and (
        mask.shape != (len(before.planes), *before.planes.shape[2:]) or mask.dtype != np.bool_
    ):
        raise PluginError(f"{who} returned shown that is not (K, H, W) of bool")
