"""fusionkit: image fusion with pretrained diffusion priors, from interchangeable plugins.

    fused = fusionkit.fuse(["ir.png", "vi.png"], weighting="dig")
    fused.save("fused.png")

Importing this package imports no torch; what needs it is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .components import (
    ESTIMATOR,
    IDENTITY_PRESERVING,
    KINDS,
    METRIC,
    OBJECTIVE,
    SOURCE_SYMMETRIC,
    WEIGHTING,
    BuildContext,
    Component,
    Kind,
    PluginInfo,
    Provided,
    Registry,
)
from .deprecation import deprecated
from .errors import (
    FusionkitError,
    FusionkitWarning,
    ImageError,
    PluginError,
    PluginLoadError,
    UsageError,
)
from .hookspecs import hookimpl
from .options import NoOptions, option
from .plugins import load_plugins

if TYPE_CHECKING:
    from .bases import StartedEnergy, StartedTarget, proximal_weights
    from .composing import compose
    from .fusion import Result, fuse
    from .mirror import mirrored_index
    from .pipeline import Fused, Pipeline
    from .protocols import (
        Metric,
        NoiseEstimator,
        Objective,
        Run,
        StartedObjective,
        StartedWeighting,
        Step,
        Weighting,
    )
    from .recipe import tasks
    from .replicated import distinct, weighted_sum
    from .sampler import SampledStep
    from .settings import Settings
    from .smoothing import box_mean, consistent_weights, image_mean, raised
    from .tracing import Trace, Traced, trace

# Imported when first asked for: most of these need torch, or files of the package.
_LATER = {
    "StartedEnergy": "bases",
    "StartedTarget": "bases",
    "proximal_weights": "bases",
    "Result": "fusion",
    "fuse": "fusion",
    "Fused": "pipeline",
    "Pipeline": "pipeline",
    "compose": "composing",
    "Metric": "protocols",
    "NoiseEstimator": "protocols",
    "Objective": "protocols",
    "StartedObjective": "protocols",
    "StartedWeighting": "protocols",
    "Step": "protocols",
    "Weighting": "protocols",
    "tasks": "recipe",
    "distinct": "replicated",
    "weighted_sum": "replicated",
    "Run": "protocols",
    "SampledStep": "sampler",
    "Settings": "settings",
    "box_mean": "smoothing",
    "consistent_weights": "smoothing",
    "image_mean": "smoothing",
    "raised": "smoothing",
    "mirrored_index": "mirror",
    "Trace": "tracing",
    "Traced": "tracing",
    "trace": "tracing",
}

__all__ = [
    "ESTIMATOR",
    "IDENTITY_PRESERVING",
    "KINDS",
    "METRIC",
    "OBJECTIVE",
    "SOURCE_SYMMETRIC",
    "WEIGHTING",
    "BuildContext",
    "Component",
    "Fused",
    "FusionkitError",
    "FusionkitWarning",
    "ImageError",
    "Kind",
    "Metric",
    "NoOptions",
    "NoiseEstimator",
    "Objective",
    "Pipeline",
    "PluginError",
    "PluginInfo",
    "PluginLoadError",
    "Provided",
    "Registry",
    "Result",
    "Run",
    "SampledStep",
    "Settings",
    "StartedEnergy",
    "StartedObjective",
    "StartedTarget",
    "StartedWeighting",
    "Step",
    "Trace",
    "Traced",
    "UsageError",
    "Weighting",
    "__version__",
    "box_mean",
    "compose",
    "consistent_weights",
    "deprecated",
    "distinct",
    "fuse",
    "hookimpl",
    "image_mean",
    "load_plugins",
    "mirrored_index",
    "option",
    "proximal_weights",
    "raised",
    "tasks",
    "trace",
    "weighted_sum",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
