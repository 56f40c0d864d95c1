"""The record of a run: everything needed to know how an image was made, and to make it again."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .._version import __version__
from ..imaging import OutputFormat, Picture
from ..imaging.metadata import Metadata
from .fingerprint import core_code

if TYPE_CHECKING:
    from .parts import Fused
    from .pipeline import Pipeline


def make_record(
    pipeline: Pipeline,
    fused: Fused,
    *,
    seed: int,
    pictures: Sequence[Picture],
    colour: dict[str, Any],
    preparations: dict[str, Any],
    output: OutputFormat,
    notes: Sequence[str],
    seconds: float,
    metadata: dict[str, Any],
    task: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the record of one fused image; its ``recipe`` is what ``--recipe`` accepts.

    ``task`` is what was decided from the images, if that was asked for.
    """
    return {
        "fusionkit": __version__,
        "code": core_code(),
        "recipe": pipeline.as_recipe(seed),
        "components": {
            name: part.provenance()
            for name, part in {**pipeline.parts, **pipeline.preparations}.items()
        },
        "inputs": [_input(picture) for picture in pictures],
        "output": {"dtype": output.dtype.name, "range": [output.low, output.high]},
        "colour": colour,
        "metadata": metadata,
        "preparations": preparations,
        "run": {
            "sigmas": list(pipeline.schedule.sigma[:-1]),
            "steps": fused.steps,
            "nfe": _count(fused.nfe),
            "cached": _count(fused.cached),
            "target_only": fused.target_only,
            "tiled": fused.tiled,
            "retries": fused.retries,
            "seconds": round(seconds, 3),
        },
        "environment": environment(pipeline.context.device, pipeline.context.precision),
        "warnings": list(notes),
        **({"metrics": pipeline.metrics} if pipeline.metrics else {}),
        **({"task": task} if task else {}),
    }


def metadata_record(metadata: Metadata, left_out: Sequence[str] = ()) -> dict[str, list[str]]:
    """Return the names of what is carried to an output, and of what is not, also beside it."""
    return {"kept": list(metadata.names), "left_out": [*metadata.left_out, *left_out]}


def environment(device: str, precision: str) -> dict[str, Any]:
    """Return what bit-for-bit repetition depends on beside the recipe and the inputs."""
    kind = torch.device(device).type
    return {
        "device": device,
        "device_name": torch.cuda.get_device_name(device) if kind == "cuda" else platform.machine(),
        "precision": precision,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def _count(images: float) -> int | float:
    """Return a number of images, whole unless some of them were smaller than the sources."""
    return int(images) if images == int(images) else round(images, 4)


def _input(picture: Picture) -> dict[str, Any]:
    digest = picture.sha256
    if digest is None:
        digest = hashlib.sha256(np.ascontiguousarray(picture.pixels).tobytes()).hexdigest()
    return {
        "name": picture.name,
        **({"reader": picture.reader} if picture.reader else {}),
        "sha256": digest,
        "width": picture.width,
        "height": picture.height,
        "layout": picture.layout,
        "dtype": picture.dtype.name,
        "orientation": picture.orientation,
        "range": [picture.low, picture.high],
        "masked": 0 if picture.mask is None else int((~picture.mask).sum()),
    }
