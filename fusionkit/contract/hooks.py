"""The hooks that a plugin may implement. All are optional and take no argument.

Each returns an iterable of :class:`fusionkit.Component` records. The host calls
every hook once, to collect them; nothing of pluggy runs inside the sampling loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from .component import Component
    from .protocols import Metric, NoiseEstimator, Objective, Observation, Sampler, Weighting

PROJECT = "fusionkit"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin as its implementation of the hook of that name."""


@hookspec
def fusionkit_noise_estimators() -> Iterable[Component[NoiseEstimator]]:  # type: ignore[empty-body]
    """Return the noise estimators: pretrained diffusion priors, or priors in closed form."""


@hookspec
def fusionkit_weightings() -> Iterable[Component[Weighting]]:  # type: ignore[empty-body]
    """Return the weightings: how much each source guides each pixel at each step."""


@hookspec
def fusionkit_objectives() -> Iterable[Component[Objective]]:  # type: ignore[empty-body]
    """Return the fusion objectives: how weighted sources correct the clean estimate."""


@hookspec
def fusionkit_samplers() -> Iterable[Component[Sampler]]:  # type: ignore[empty-body]
    """Return the samplers: how a run goes from its levels to an image."""


@hookspec
def fusionkit_observations() -> Iterable[Component[Observation]]:  # type: ignore[empty-body]
    """Return the observations: how a source was measured."""


@hookspec
def fusionkit_metrics() -> Iterable[Component[Metric]]:  # type: ignore[empty-body]
    """Return the metrics: how good a fused image is, given its sources."""
