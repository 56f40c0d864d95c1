"""What a pipeline's source estimates are kept under, from run to run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..sampling.cache import RunCache
from .fingerprint import code_of_plugin

if TYPE_CHECKING:
    from .pipeline import Pipeline


def run_cache(pipeline: Pipeline, sources: Tensor, seeds: tuple[int, ...]) -> RunCache | None:
    """Return the cache as a batch sees it; a device without values has none to keep."""
    if pipeline.cache is None or pipeline.device.type == "meta":
        return None
    estimator = pipeline.parts["estimator"]
    provided = estimator.provided
    about = {
        "estimator": estimator.provenance(),
        "options": dict(estimator.table),
        "code": "" if provided is None else code_of_plugin(provided.plugin),
        "channels": pipeline.channels_of(sources.shape[2]),
        "precision": pipeline.context.precision,
        "tile": pipeline.settings.tile,
        "device": pipeline.device.type,
        "dtype": str(pipeline.dtype),
        "torch": torch.__version__,  # draws the noise, too
    }
    if pipeline.context.compile:  # which rounds otherwise
        about["compile"] = True
    return RunCache(pipeline.cache, about, sources.to("cpu", pipeline.dtype), seeds)
