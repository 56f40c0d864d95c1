"""Fusing one scene with its trace, from Python."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..contract.reading import stem_of
from ..host.fusion import fuse
from ..host.pipeline import Pipeline
from ..host.result import Result
from ..imaging.sources import Source
from .collect import Trace


@dataclass(frozen=True, eq=False)
class Traced:
    """A fused image and how it came about.

    Attributes
    ----------
    fused
        What :func:`fusionkit.fuse` returns, the same to the bit.
    trace
        The trace; its ``numbers()`` and ``maps()`` are arrays.
    """

    fused: Result
    trace: Trace

    def summary(self) -> dict[str, Any]:
        """Return the trace, JSON-ready; see :meth:`fusionkit.Trace.summary`."""
        return self.trace.summary()

    def save(self, folder: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the trace into a folder; see :meth:`fusionkit.Trace.save`."""
        self.trace.save(folder, overwrite)


def trace(pipeline: Pipeline, sources: Sequence[Source], seed: int | None = None) -> Traced:
    """Fuse registered images of one scene, and keep what guided the fusion at every step.

    Per step and source: the mean weight, the gain (what denoising recovers of the
    source at this step, as in Dig2DIG, arXiv 2503.18627), the residual (what the fused image
    still lacks of it), the contribution of the correction, and the covariances of the three
    with the weights over the pixels. ``docs/trace.md`` defines them.

    Parameters
    ----------
    pipeline
        What :func:`fusionkit.compose` returns, with any weighting and objective.
    sources
        As for :func:`fusionkit.fuse`. For a batch of tensors, give a
        :class:`fusionkit.Trace` as ``on_step`` to the pipeline instead.
    seed
        Default: the pipeline's.

    Returns
    -------
    Traced
        ``fused``, ``summary()``, ``save(folder)``.

    Raises
    ------
    ImageError, UsageError, PluginError
        As :func:`fusionkit.fuse` does.

    Examples
    --------
    >>> import fusionkit
    >>> dig = {"name": "dig", "dynamic": True}
    >>> pipe = fusionkit.compose(estimator="gaussian", weighting=dig, steps=6)
    >>> traced = fusionkit.trace(pipe, ["ir.png", "vi.png"])
    >>> traced.save("trace")  # trace.json, strip.png, curves.png
    """
    collected = Trace(pipeline, source_names(sources))
    seed = pipeline.settings.seed if seed is None else seed
    fused = fuse(sources, pipeline=pipeline, seed=seed, on_step=collected)
    return Traced(fused, collected)


def source_names(sources: Sequence[Source]) -> tuple[str, ...]:
    """Return what to call sources: the stem of a file, with its folder where stems are alike.

    Nothing for one file alone, which is a stack.
    """
    if isinstance(sources, (str, os.PathLike)) or len(sources) == 1:
        return ()
    paths = [Path(s) if isinstance(s, (str, os.PathLike)) else None for s in sources]
    stems = [None if path is None else stem_of(path) for path in paths]
    names = [
        stem if path is None or stems.count(stem) == 1 else f"{path.absolute().parent.name}/{stem}"
        for path, stem in zip(paths, stems, strict=True)
    ]
    return tuple(name or f"source {k}" for k, name in enumerate(names, start=1))
