"""Measuring one setting, or two in turn: seconds by part, operations, rates, memory."""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from fusionkit.contract.registry import Registry
from fusionkit.host.composing import compose
from fusionkit.host.hardware import convolution_rate
from fusionkit.host.pipeline import Pipeline
from fusionkit.host.record import environment
from fusionkit.host.scene import Scene
from fusionkit.imaging import write_picture
from fusionkit.recipes.finding import Layer
from fusionkit.recipes.layers import resolve_settings
from fusionkit.testing.doubles import synthetic_sources

from .timing import LOOP, Stopwatch, TimedPipeline

SAMPLING = ("estimator", "weighting", "objective", LOOP)
"""The parts of a pipeline's call, whose sum is the sampling time."""

OUTPUT = "colour, write"


@dataclass(frozen=True)
class Fusion:
    """One fusion, timed.

    Attributes
    ----------
    seconds
        By part: :data:`SAMPLING` and :data:`OUTPUT`.
    nfe, tiled
        As in the record of a run.
    flops
        Of the noise estimator; 0 if it does not tell.
    """

    seconds: dict[str, float]
    nfe: float
    tiled: int
    flops: float

    @property
    def sampling(self) -> float:
        """Seconds of the pipeline's call."""
        return sum(self.seconds[part] for part in SAMPLING)


@dataclass(eq=False)
class Subject:
    """One setting to be measured: a recipe, composed, and with how many threads it runs.

    Attributes
    ----------
    once
        Seconds of what is done once: load, and read.
    """

    recipe: Layer
    registry: Registry
    threads: int | None = None
    once: dict[str, float] = field(default_factory=dict)

    def load(self, sources: Sequence[Path]) -> None:
        """Compose the pipeline and read the sources."""
        began = time.perf_counter()
        self.pipeline: Pipeline = compose(recipe=self.recipe, registry=self.registry)
        loaded = time.perf_counter()
        self.scene = Scene.load(sources, resolve_settings(self.recipe))
        self.once |= {"load": loaded - began, "read": time.perf_counter() - loaded}
        if self.threads is None:
            self.threads = torch.get_num_threads()

    def fuse(self) -> Fusion:
        """Fuse once, and write what comes out."""
        assert self.threads is not None
        torch.set_num_threads(self.threads)
        watch = Stopwatch(self.pipeline.context.device)
        pipeline = TimedPipeline(self.pipeline, watch)
        with tempfile.TemporaryDirectory() as folder, watch.part(OUTPUT):
            result = self.scene.fuse(pipeline)
            result.save(Path(folder) / "fused.png")
        run = result.record["run"]
        seconds = {part: watch.seconds[part] for part in (*SAMPLING, OUTPUT)}
        return Fusion(seconds, run["nfe"], run["tiled"], watch.flops)


def measure(
    subject: Subject, size: tuple[int, int], count: int, repeats: int, imported: float
) -> dict[str, Any]:
    """Measure one setting; JSON-ready. The repetition shown is the one of median sampling time."""
    sources = _load([subject], size, count)
    context = subject.pipeline.context
    if context.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(context.device)
    fusions = [subject.fuse() for _ in range(repeats + 1)]
    first, warm = fusions[0], sorted(fusions[1:], key=lambda fusion: fusion.sampling)
    shown = warm[(len(warm) - 1) // 2]
    memory = _peak_memory(context.device)  # before what measures the rate adds to it
    rate = convolution_rate(getattr(torch, context.precision), context.device)
    estimator = shown.seconds["estimator"]
    reached = shown.flops / estimator / 1e12 if shown.flops else None
    return {
        "size": list(size),
        "sources": sources,
        "recipe": subject.pipeline.as_recipe(),
        "environment": environment(context.device, context.precision),
        "seconds": {"import": imported, **subject.once, **shown.seconds},
        "sampling": {
            "median": shown.sampling,
            "least": warm[0].sampling,
            "most": warm[-1].sampling,
            "first": first.sampling,
            "repeats": repeats,
        },
        "overhead": shown.seconds[LOOP] / shown.sampling,
        "nfe": shown.nfe,
        "tiled": shown.tiled,
        "gflop": shown.flops / 1e9 if shown.flops else None,
        "tflop_per_second": reached,
        "convolution_tflop_per_second": rate,
        "peak_memory_bytes": memory,
    }


def compare(
    one: Subject,
    other: Subject,
    size: tuple[int, int],
    count: int,
    repeats: int,
) -> dict[str, Any]:
    """Measure two settings in turn, pair by pair; JSON-ready. Ratios are other to one.

    What else the machine does changes from minute to minute, so that only
    neighbours in time are compared, each pair in the other order.
    """
    _load([one, other], size, count)
    last = [one.fuse(), other.fuse()]  # not counted: kernels are chosen, memory is got
    seconds = []
    for n in range(repeats):
        order = (0, 1) if n % 2 == 0 else (1, 0)
        for which in order:
            last[which] = (one, other)[which].fuse()
        seconds.append([fusion.sampling for fusion in last])
    ratios = [b / a for a, b in seconds]
    return {
        "size": list(size),
        "sampling": seconds,
        "nfe": [fusion.nfe for fusion in last],
        "ratio": {
            "median": statistics.median(ratios),
            "least": min(ratios),
            "most": max(ratios),
            "repeats": repeats,
        },
    }


def _load(subjects: Sequence[Subject], size: tuple[int, int], count: int) -> int:
    """Make the sources, and have the subjects read them; return how many there are."""
    width, height = size
    luma = synthetic_sources(count, C=3, H=height, W=width)[:, 0].clamp(-1, 1)
    pixels = ((luma + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{k}.png" for k in range(count)]
        for k, path in enumerate(paths):
            # As with infrared and visible: the first is grey.
            write_picture(path, pixels[k, ..., 0] if k == 0 else pixels[k])
        for subject in subjects:
            subject.load(paths)
    return count


def _peak_memory(device: str) -> int:
    """Return the most bytes that were in use: on a GPU by torch, else by this process."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
