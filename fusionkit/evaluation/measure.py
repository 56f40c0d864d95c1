"""Measuring: metrics built once, applied to the luma of files, scene by scene."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..components import METRIC, BuildContext, Registry
from ..errors import FusionkitError, ImageError
from ..imaging import read_picture
from ..imaging.colour import luma_of
from ..imaging.values import to_unit
from ..protocols import Metric
from ..stray import prints_on_stderr
from .baselines import BASELINES, eight_bit
from .presets import REFERENCE_METRICS
from .scores import Column, Scores

TRUTH = "truth-"
"""What the names of columns begin with that compare with a ground truth, not the sources."""

GROUND = "ground"
"""The column of the mean luma of the fused image off the foreground."""

Progress = Callable[[str], None]


class Meter:
    """A set of metrics, built once and applied to many images.

    Parameters
    ----------
    names
        Metrics, as ``fusionkit plugins`` lists them.
    registry
        Where they are found.
    device
        Where they are computed, in float64.

    Raises
    ------
    UsageError
        There is no such metric.
    """

    def __init__(self, names: Sequence[str], registry: Registry, device: str = "cpu") -> None:
        context = BuildContext(device, "float64")
        self.device = torch.device(device)
        self._metrics: dict[str, Metric] = {}
        for name in dict.fromkeys(names):
            provided = registry.find(METRIC, name)
            self._metrics[name] = provided.build(provided.make_options({}), context)

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The metrics by name."""
        return self._metrics

    @property
    def columns(self) -> list[Column]:
        """The metrics as columns of a table."""
        return [
            Column(
                name,
                bool(metric.higher_is_better),
                str(metric.convention),
                bool(getattr(metric, "summed", False)),
            )
            for name, metric in self._metrics.items()
        ]

    def measure(
        self, fused: Tensor, sources: Tensor, where: Tensor | None = None
    ) -> tuple[dict[str, float], dict[str, str]]:
        """Measure one image, (H, W), against its sources, (K, H, W): luma in [0, 255].

        With ``where``, (H, W) bool and somewhere true, there only.

        Returns
        -------
        values, problems
            By metric. A metric that is not defined for this K, or not for a part of an image,
            is in neither; one that raises, or returns something else than a number, is a problem.
        """
        values, problems = {}, {}
        fused_batch = fused.to(self.device)[None, None]
        source_batch = sources.to(self.device)[:, None, None]
        place = () if where is None else (where.to(self.device)[None, None],)
        for name, metric in self._metrics.items():
            compute = metric if where is None else getattr(metric, "within", None)
            if metric.sources not in ("any", len(sources)) or compute is None:
                continue
            try:
                with torch.no_grad(), prints_on_stderr(f"metric {name}"):
                    value = float(compute(fused_batch, source_batch, *place).reshape(()))
            except Exception as error:
                problems[name] = " ".join(f"{type(error).__name__}: {error}".split())
                continue
            if value != value:
                problems[name] = "it returned NaN"
            else:
                values[name] = value
        return values, problems

    def measure_foreground(
        self, fused: Tensor, sources: Tensor, threshold: float
    ) -> tuple[dict[str, float], dict[str, str]]:
        """Measure where some source exceeds a grey level, and add the mean elsewhere as GROUND."""
        where = (sources > threshold).any(0)
        if not where.any():
            return {}, {"foreground": f"no source exceeds {threshold:g} anywhere"}
        values, problems = self.measure(fused, sources, where)
        if not where.all():
            values[GROUND] = float(fused[~where].mean())
        return values, problems


def ground_column(threshold: float) -> Column:
    """Return the column of what a fused image shows where its sources show nothing."""
    about = f"mean luma of the fused image where no source exceeds {threshold:g}"
    return Column(GROUND, higher_is_better=False, convention=about)


def read_luma(path: str | os.PathLike[str]) -> Tensor:
    """Read an image as BT.601 luma in [0, 255], (H, W) float64, not rounded.

    Raises
    ------
    ImageError
        The file cannot be read.
    """
    picture = read_picture(path)
    stored = picture.pixels.astype(np.float64)
    luma = stored if stored.ndim == 2 else luma_of(stored)
    if (picture.low, picture.high) != (0, 255):  # 8-bit values stay as they are, to the last bit
        luma = 255 * to_unit(luma, picture.low, picture.high)
    return torch.from_numpy(luma)


def evaluate(
    methods: Mapping[str, Mapping[str, Path]],
    scenes: Mapping[str, Sequence[Path]],
    meter: Meter,
    *,
    baselines: bool = False,
    foreground: float | None = None,
    truth: Mapping[str, Path] | None = None,
    truth_meter: Meter | None = None,
    progress: Progress | None = None,
) -> Scores:
    """Measure every method's fused image of every scene.

    Parameters
    ----------
    methods
        Method to scene to fused image.
    scenes
        Scene to its sources.
    meter
        What is measured against the sources.
    baselines
        Add the trivial fusions mean, max and laplacian-max, rounded to 8 bits.
    foreground
        Measure, with the metrics that can, only where a source exceeds this grey level, and
        add the mean of the fused image on the rest, the ground.
    truth, truth_meter
        Scene to ground truth, and what is measured against it.
    progress
        Called with the name of every scene before it is measured.

    Returns
    -------
    Scores
        What could not be read or measured is in ``problems``, and NaN.
    """
    columns = meter.columns
    if foreground is not None:
        columns.append(ground_column(foreground))
    if truth_meter is not None:
        columns += [
            Column(TRUTH + column.name, column.higher_is_better, column.convention)
            for column in truth_meter.columns
        ]
    names = [*methods, *(BASELINES if baselines else ())]
    scores = Scores.empty(names, list(scenes), columns)
    scores.counts = {scene: len(paths) for scene, paths in scenes.items()}
    for scene, paths in scenes.items():
        if progress is not None:
            progress(scene)
        try:
            sources = _read_sources(paths)
            reference = read_luma(truth[scene]) if truth and scene in truth else None
        except FusionkitError as error:
            scores.problems.append(f"{scene}: {error}")
            continue
        if truth is not None and reference is None:
            scores.problems.append(f"{scene}: no ground truth of this name")
        for method in names:
            try:
                fused = _fused(method, scene, methods, sources)
            except FusionkitError as error:
                scores.problems.append(f"{method}, {scene}: {error}")
                continue
            if foreground is None:
                found, failed = meter.measure(fused, sources)
            else:
                found, failed = meter.measure_foreground(fused, sources, foreground)
            if truth_meter is not None and reference is not None:
                against, failed_truth = _against_truth(fused, reference, truth_meter)
                found.update(against)
                failed.update(failed_truth)
            scores.set(method, scene, found)
            scores.problems += [f"{method}, {scene}: {key}: {why}" for key, why in failed.items()]
    return scores


def reference_meter(registry: Registry, device: str = "cpu") -> Meter:
    """Return the meter of what is measured against a ground truth."""
    return Meter(REFERENCE_METRICS, registry, device)


def _read_sources(paths: Sequence[Path]) -> Tensor:
    sources = [read_luma(path) for path in paths]
    for path, source in zip(paths, sources, strict=True):
        if source.shape != sources[0].shape:
            raise ImageError(
                f"{path} is {_size(source)}, {paths[0]} {_size(sources[0])}: the sources of a "
                "scene have one size"
            )
    return torch.stack(sources)


def _fused(
    method: str, scene: str, methods: Mapping[str, Mapping[str, Path]], sources: Tensor
) -> Tensor:
    if method not in methods:
        return eight_bit(BASELINES[method](sources))
    path = methods[method].get(scene)
    if path is None:
        raise ImageError("no fused image of this name")
    fused = read_luma(path)
    if fused.shape != sources.shape[1:]:
        raise ImageError(f"{path} is {_size(fused)}, its sources are {_size(sources[0])}")
    return fused


def _against_truth(
    fused: Tensor, reference: Tensor, meter: Meter
) -> tuple[dict[str, float], dict[str, str]]:
    if fused.shape != reference.shape:
        return {}, {TRUTH[:-1]: f"it is {_size(reference)}, the fused image {_size(fused)}"}
    values, problems = meter.measure(fused, reference[None])
    return (
        {TRUTH + name: value for name, value in values.items()},
        {TRUTH + name: why for name, why in problems.items()},
    )


def _size(image: Tensor) -> str:
    return f"{image.shape[-1]}x{image.shape[-2]}"
