"""What a pipeline is made of, and what it returns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from torch import Tensor

from ..contract.guiding import LEVELS, levels, reach, uses_trajectory
from ..contract.registry import Provided
from ..errors import PluginError, UsageError
from ..recipes.settings import Settings
from ..sampling.levels import Schedule, check_start, most_known, schedule_of
from .fingerprint import code_of_plugin

FARTHEST = 192
"""Pixels around a patch that are worth it: it then looks at some twice its own."""


@dataclass(frozen=True)
class Part:
    """A built component in its place in a pipeline.

    ``provided`` is None, and ``table`` holds only the class name, where the
    caller handed over an object of its own. ``stand_ins`` are what its options name in the place
    of parts of the run, by option.
    """

    built: Any
    label: str
    table: Mapping[str, Any]
    provided: Provided | None = None
    stand_ins: Mapping[str, Part] = field(default_factory=dict)

    @cached_property
    def _code(self) -> str:
        assert self.provided is not None
        return code_of_plugin(self.provided.plugin)

    def provenance(self) -> dict[str, Any]:
        """Return what it comes from, JSON-ready: plugin, version, hashes of code and weights."""
        entry: dict[str, Any] = {"name": self.table["name"]}
        if self.provided is not None:
            plugin = self.provided.plugin
            entry["plugin"] = plugin.name
            entry["distribution"] = plugin.distribution
            entry["version"] = plugin.version
            entry["code"] = self._code
            if plugin.distribution is None:
                entry["file"] = plugin.origin
                with open(plugin.origin, "rb") as file:
                    entry["sha256"] = hashlib.sha256(file.read()).hexdigest()
        # An estimator with weights says which: a name and version alone do not pin them.
        weights = getattr(self.built, "weights_sha256", None)
        if weights is not None:
            entry["weights_sha256"] = weights
        return entry | {name: other.provenance() for name, other in self.stand_ins.items()}


@dataclass(frozen=True)
class Fused:
    """What a pipeline returns.

    Attributes
    ----------
    image
        (B, C, H, W) in about [-1, 1], C that of the sources given.
    weights
        (K, B, 1, H, W), the weights averaged over the steps.
    nfe
        Images passed through the noise estimator, per image of the batch; smaller ones
        count by their area.
    cached
        Those that were found in a cache instead of being passed through it.
    steps
        Steps run.
    target_only
        Whether the fused trajectory was left out, since nothing depended on it.
    tiled
        The side of the smallest tiles that images were evaluated in; 0 if all went whole.
    retries
        How often memory ran out, so that batches, or tiles, were halved.
    """

    image: Tensor
    weights: Tensor
    nfe: float
    steps: int
    target_only: bool
    cached: float = 0.0
    tiled: int = 0
    retries: int = 0

    def without_pixels(self) -> Fused:
        """Return the same with an empty image, and empty weights."""
        return replace(self, image=self.image.new_empty(0), weights=self.weights.new_empty(0))


def needed_levels(weighting: Part, objective: Part) -> str:
    """Return which levels the result depends on, one of ``LEVELS``."""
    return max(map(levels_of, (weighting, objective)), key=LEVELS.index)


def levels_of(part: Part) -> str:
    """Return which levels a weighting or objective says that it depends on, one of ``LEVELS``."""
    try:
        return levels(part.built)
    except ValueError as error:
        raise PluginError(f"{part.label}: {error}") from None


def common_reach(weighting: Part, objective: Part) -> int | None:
    """Return how far sources matter to what comes of both, in pixels; None for anywhere.

    Or for so far that patches with as much around them would cost more than the whole image.
    """
    total = 0
    for part in (weighting, objective):
        try:
            pixels = reach(part.built)
        except ValueError as error:
            raise PluginError(f"{part.label}: {error}") from None
        if pixels is None:
            return None
        total += pixels
    return total if total <= FARTHEST else None


def fitting_schedule(settings: Settings, estimator: Part, levels: str) -> Schedule:
    """Return the levels that the settings ask for; raise UsageError if the prior has fewer."""
    schedule = schedule_of(settings)
    most = most_known(estimator.built, estimator.label)
    if levels != "none":
        flag = "--sigmas" if settings.sigmas else "--start-sigma"
        check_start(schedule.sigma[0], most, estimator.label, flag)
    return schedule


def check_fit(parts: Mapping[str, Part]) -> None:
    """Raise UsageError where components do not go together with the sampler."""
    sampler, estimator = parts["sampler"], parts["estimator"]
    if not sampler.built.trajectory:
        for group in ("weighting", "objective"):
            if uses_trajectory(parts[group].built):
                raise UsageError(
                    f"{parts[group].label} reads the fused trajectory, which {sampler.label} does "
                    "not make: choose another, for example --sampler ddim"
                )
    if (
        getattr(sampler.built, "needs_gradient", False)
        and getattr(estimator.built, "vjp", None) is None
    ):
        raise UsageError(
            f"{sampler.label} follows the prior's gradient, which {estimator.label} does not give: "
            "choose another sampler or prior"
        )
