"""fusionkit: image fusion with pretrained diffusion priors, from interchangeable plugins.

    fused = fusionkit.fuse(["ir.png", "vi.png"], weighting="dig")
    fused.save("fused.png")

Importing this package imports no torch; what needs it is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .contract.component import (
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
)
from .contract.hooks import hookimpl
from .contract.options import NoOptions, option
from .contract.registry import PluginInfo, Provided, Registry
from .deprecation import deprecated
from .errors import (
    FusionkitError,
    FusionkitWarning,
    ImageError,
    PluginError,
    PluginLoadError,
    UsageError,
)
from .host.plugins import load_plugins

if TYPE_CHECKING:
    from .contract.bases import StartedEnergy, StartedTarget, proximal_weights
    from .contract.protocols import (
        Metric,
        NoiseEstimator,
        Objective,
        Run,
        StartedObjective,
        StartedWeighting,
        Step,
        Weighting,
    )
    from .host.composing import compose
    from .host.fusion import fuse
    from .host.parts import Fused
    from .host.pipeline import Pipeline
    from .host.result import Result
    from .ops.borders import mirrored_index
    from .ops.channels import distinct, weighted_sum
    from .ops.windows import box_mean, consistent_weights, image_mean, raised
    from .recipes.layers import tasks
    from .recipes.settings import Settings
    from .sampling.sampler import SampledStep
    from .tracing import Trace, Traced, trace

# Imported when first asked for: most of these need torch, or files of the package.
_LATER = {
    "StartedEnergy": "contract.bases",
    "StartedTarget": "contract.bases",
    "proximal_weights": "contract.bases",
    "Result": "host.result",
    "fuse": "host.fusion",
    "Fused": "host.parts",
    "Pipeline": "host.pipeline",
    "compose": "host.composing",
    "Metric": "contract.protocols",
    "NoiseEstimator": "contract.protocols",
    "Objective": "contract.protocols",
    "StartedObjective": "contract.protocols",
    "StartedWeighting": "contract.protocols",
    "Step": "contract.protocols",
    "Weighting": "contract.protocols",
    "tasks": "recipes.layers",
    "distinct": "ops.channels",
    "weighted_sum": "ops.channels",
    "Run": "contract.protocols",
    "SampledStep": "sampling.sampler",
    "Settings": "recipes.settings",
    "box_mean": "ops.windows",
    "consistent_weights": "ops.windows",
    "image_mean": "ops.windows",
    "raised": "ops.windows",
    "mirrored_index": "ops.borders",
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
