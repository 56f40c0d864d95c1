"""fusionkit: image fusion with pretrained diffusion priors, from interchangeable plugins.

    fused = fusionkit.fuse(["ir.png", "vi.png"], weighting="dig")
    fused.save("fused.png")

Importing this package imports no torch; what needs it is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .contract.command import COMMAND, Command
from .contract.component import BuildContext, Component
from .contract.counting import number_of
from .contract.estimator import ESTIMATOR, BaseEstimator, NoiseEstimator
from .contract.hooks import API, hookimpl
from .contract.kind import SOURCE_SYMMETRIC, Kind
from .contract.kinds import KINDS
from .contract.metric import METRIC, BaseMetric, Metric
from .contract.objective import (
    IDENTITY_PRESERVING,
    OBJECTIVE,
    BaseObjective,
    Objective,
    StartedObjective,
    StartedTarget,
    proximal_weights,
)
from .contract.observation import (
    OBSERVATION,
    BaseObservation,
    Identity,
    Observation,
    StartedObservation,
    conjugate_gradients,
)
from .contract.options import NoOptions, option
from .contract.paths import split_part
from .contract.preparation import (
    PREPARATION,
    BasePreparation,
    Preparation,
    Prepared,
    PriorAtHand,
    Sources,
)
from .contract.reader import READER, Reader, Writer
from .contract.recipe import RECIPE, Recipe
from .contract.registry import PluginInfo, Provided, Registry
from .contract.run import Run, Step
from .contract.sampler import SAMPLER, BaseSampler, Guide, Sampler
from .contract.weighting import WEIGHTING, BaseWeighting, StartedWeighting, Weighting
from .deprecation import deprecated
from .errors import (
    FusionkitError,
    FusionkitWarning,
    ImageError,
    PluginError,
    PluginLoadError,
    UsageError,
    one_line,
    visible,
)
from .host.plugins import load_plugins

if TYPE_CHECKING:
    from .contract.adapters import (
        DiscretePrior,
        Prior,
        from_azula,
        from_deepinv,
        from_denoiser,
        from_epsilon,
        from_velocity,
    )
    from .contract.chain import (
        Chain,
        start_chain,
    )
    from .contract.parsing import CommandParser
    from .evaluation.desk import study
    from .evaluation.records import Records
    from .evaluation.single import evaluate
    from .evaluation.study_table import StudyTable
    from .host.composing import compose
    from .host.fusion import fuse, fuse_batch
    from .host.onnx_file import open_onnx
    from .host.parts import Fused
    from .host.pipeline import Pipeline
    from .host.result import Result
    from .host.weights_file import (
        check_tensors,
        checked_file,
        checked_hash,
        damaged,
        empty_network,
        read_safetensors,
        write_safetensors,
    )
    from .imaging.decoded import Decoded
    from .imaging.noise import estimated_noise, noise_note, seen_noise
    from .ops.borders import mirrored_index
    from .ops.channels import distinct, weighted_sum
    from .ops.threads import side_by_side
    from .ops.windows import box_mean, consistent_weights, image_mean, raised
    from .recipes.finding import tasks
    from .recipes.observing import (
        Observed,
        parse_observations,
    )
    from .recipes.settings import Settings
    from .sampling.evaluator import denoised
    from .sampling.guide import SampledStep
    from .tracing import Trace, Traced, trace

# Imported when first asked for: most of these need torch, or files of the package.
_LATER = {
    "CommandParser": "contract.parsing",
    "start_chain": "contract.chain",
    "Chain": "contract.chain",
    "Observed": "recipes.observing",
    "parse_observations": "recipes.observing",
    "check_tensors": "host.weights_file",
    "checked_file": "host.weights_file",
    "checked_hash": "host.weights_file",
    "damaged": "host.weights_file",
    "empty_network": "host.weights_file",
    "read_safetensors": "host.weights_file",
    "write_safetensors": "host.weights_file",
    "Decoded": "imaging.decoded",
    "estimated_noise": "imaging.noise",
    "noise_note": "imaging.noise",
    "seen_noise": "imaging.noise",
    "Result": "host.result",
    "fuse": "host.fusion",
    "fuse_batch": "host.fusion",
    "Fused": "host.parts",
    "open_onnx": "host.onnx_file",
    "Pipeline": "host.pipeline",
    "compose": "host.composing",
    "evaluate": "evaluation.single",
    "study": "evaluation.desk",
    "Records": "evaluation.records",
    "StudyTable": "evaluation.study_table",
    "tasks": "recipes.finding",
    "distinct": "ops.channels",
    "weighted_sum": "ops.channels",
    "SampledStep": "sampling.guide",
    "denoised": "sampling.evaluator",
    "DiscretePrior": "contract.adapters",
    "Prior": "contract.adapters",
    "from_azula": "contract.adapters",
    "from_deepinv": "contract.adapters",
    "from_denoiser": "contract.adapters",
    "from_epsilon": "contract.adapters",
    "from_velocity": "contract.adapters",
    "Settings": "recipes.settings",
    "box_mean": "ops.windows",
    "consistent_weights": "ops.windows",
    "image_mean": "ops.windows",
    "raised": "ops.windows",
    "mirrored_index": "ops.borders",
    "side_by_side": "ops.threads",
    "Trace": "tracing",
    "Traced": "tracing",
    "trace": "tracing",
}

__all__ = [
    "API",
    "COMMAND",
    "ESTIMATOR",
    "IDENTITY_PRESERVING",
    "KINDS",
    "METRIC",
    "OBJECTIVE",
    "OBSERVATION",
    "PREPARATION",
    "READER",
    "RECIPE",
    "SAMPLER",
    "SOURCE_SYMMETRIC",
    "WEIGHTING",
    "BaseEstimator",
    "BaseMetric",
    "BaseObjective",
    "BaseObservation",
    "BasePreparation",
    "BaseSampler",
    "BaseWeighting",
    "BuildContext",
    "Chain",
    "Command",
    "CommandParser",
    "Component",
    "Decoded",
    "DiscretePrior",
    "Fused",
    "FusionkitError",
    "FusionkitWarning",
    "Guide",
    "Identity",
    "ImageError",
    "Kind",
    "Metric",
    "NoOptions",
    "NoiseEstimator",
    "Objective",
    "Observation",
    "Observed",
    "Pipeline",
    "PluginError",
    "PluginInfo",
    "PluginLoadError",
    "Preparation",
    "Prepared",
    "Prior",
    "PriorAtHand",
    "Provided",
    "Reader",
    "Recipe",
    "Records",
    "Registry",
    "Result",
    "Run",
    "SampledStep",
    "Sampler",
    "Settings",
    "Sources",
    "StartedObjective",
    "StartedObservation",
    "StartedTarget",
    "StartedWeighting",
    "Step",
    "StudyTable",
    "Trace",
    "Traced",
    "UsageError",
    "Weighting",
    "Writer",
    "__version__",
    "box_mean",
    "check_tensors",
    "checked_file",
    "checked_hash",
    "compose",
    "conjugate_gradients",
    "consistent_weights",
    "damaged",
    "denoised",
    "deprecated",
    "distinct",
    "empty_network",
    "estimated_noise",
    "evaluate",
    "from_azula",
    "from_deepinv",
    "from_denoiser",
    "from_epsilon",
    "from_velocity",
    "fuse",
    "fuse_batch",
    "hookimpl",
    "image_mean",
    "load_plugins",
    "mirrored_index",
    "noise_note",
    "number_of",
    "one_line",
    "open_onnx",
    "option",
    "parse_observations",
    "proximal_weights",
    "raised",
    "read_safetensors",
    "seen_noise",
    "side_by_side",
    "split_part",
    "start_chain",
    "study",
    "tasks",
    "trace",
    "visible",
    "weighted_sum",
    "write_safetensors",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
