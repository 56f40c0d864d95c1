"""Measuring: metrics built once, applied to the luma of files, scene by scene."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..contract.component import BuildContext
from ..contract.metric import METRIC, Metric
from ..contract.registry import Registry
from ..contract.stray import prints_on_stderr
from ..errors import FusionkitError, ImageError
from ..host.hardware import usable_device
from ..imaging import Picture
from ..imaging.colour import luma_of
from ..imaging.values import to_unit
from .baselines import trivial_fusion
from .presets import REFERENCE_METRICS, own_metrics, trivial_names
from .ranges import REFERENCE, Ranges
from .scores import Column, Scores
from .window import Window, shared_window

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
    options
        Options by metric; those that are not named are the metric's own.

    Raises
    ------
    UsageError
        There is no such metric, or no such device.
    """

    def __init__(
        self,
        names: Sequence[str],
        registry: Registry,
        device: str = "cpu",
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        context = BuildContext(usable_device(device, "float64"), "float64")
        self.device = torch.device(context.device)
        self._metrics: dict[str, Metric] = {}
        for name in dict.fromkeys(names):
            provided = registry.find(METRIC, name)
            self._metrics[name] = provided.build(
                provided.make_options((options or {}).get(name, {})), context
            )

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
            By metric. A metric that is not defined for this K, or not for a part of an image, or
            that finds nothing to measure, is in neither; one that raises, or returns something
            else than a number, is a problem.
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
            if value == value:
                values[name] = value
            elif not getattr(metric, "partial", False):
                problems[name] = "it returned NaN"
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


def luma_of_picture(picture: Picture) -> Tensor:
    """Return BT.601 luma in [0, 255], (H, W) float64, not rounded, of channels of 256 levels.

    Deeper channels are rounded to these levels: some metrics (FMI, Nabf) see the steps of 8
    bits where an image is smooth, and all published values are of 8 bits.
    """
    stored = picture.pixels.astype(np.float64)
    if picture.dtype != np.uint8 or (picture.low, picture.high) != (0, 255):
        stored = np.rint(255 * to_unit(stored, picture.low, picture.high))
    return torch.from_numpy(stored if stored.ndim == 2 else luma_of(stored))


def read_luma(path: str | os.PathLike[str]) -> Tensor:
    """Read an image by itself, as :func:`luma_of_picture`; raise ImageError if that fails."""
    return luma_of_picture(Ranges().result("fused", path))


def evaluate(
    methods: Mapping[str, Mapping[str, Path]],
    scenes: Mapping[str, Sequence[Path]],
    meter: Meter,
    *,
    ranges: Ranges | None = None,
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
    ranges
        Reads the images, a result by its method's name; by default without being told anything.
    baselines
        Add the trivial fusions mean, max and laplacian-max, and every source by itself.
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
    most = max(map(len, scenes.values()), default=0)
    names = [*methods, *(trivial_names(most) if baselines else ())]
    scores = Scores.empty(names, list(scenes), columns)
    scores.counts = {scene: len(paths) for scene, paths in scenes.items()}
    ranges = Ranges() if ranges is None else ranges
    for scene, paths in scenes.items():
        if progress is not None:
            progress(scene)
        results = {m: of_scene[scene] for m, of_scene in methods.items() if scene in of_scene}
        try:
            pictures = ranges.sources(paths, list(results.values()))
            window, note = shared_window(same_size(pictures))
            ranges.notes |= {note: None} if note else {}
            sources = torch.stack([luma_of_picture(window.cut(one)) for one in pictures])
            reference = None
            if truth is not None and scene in truth:
                told = ranges.result(REFERENCE, truth[scene], pictures)
                same = told.shape == pictures[0].shape  # or every method is told that it is not
                reference = luma_of_picture(window.cut(told) if same else told)
        except FusionkitError as error:
            scores.problems.append(f"{scene}: {error}")
            continue
        if truth is not None and reference is None:
            scores.problems.append(f"{scene}: no ground truth of this name")
        for method in names:
            try:
                if method in methods:
                    if method not in results:
                        raise ImageError("no fused image of this name")
                    fused = _fused(method, results[method], pictures, ranges, window)
                elif (made := trivial_fusion(method, sources)) is not None:
                    fused = made
                else:
                    continue  # a scene of fewer sources
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
    scores.notes += ranges.notes
    return scores


def reference_meter(registry: Registry, device: str = "cpu") -> Meter:
    """Return the meter of what is measured against a ground truth."""
    return Meter(own_metrics(REFERENCE_METRICS, registry), registry, device)


def same_size(pictures: Sequence[Picture]) -> Sequence[Picture]:
    """Return the sources of a scene; raise ImageError unless they are of one size."""
    first = pictures[0]
    for picture in pictures:
        if picture.shape != first.shape:
            raise ImageError(
                f"{picture.name} is {_size(picture.shape)}, {first.name} {_size(first.shape)}: "
                "the sources of a scene have one size"
            )
    return pictures


def _fused(
    method: str, path: Path, sources: Sequence[Picture], ranges: Ranges, window: Window
) -> Tensor:
    """Return the luma of a fused image inside the window."""
    picture = ranges.result(method, path, sources)
    if picture.shape != sources[0].shape:
        raise ImageError(
            f"{path} is {_size(picture.shape)}, its sources are {_size(sources[0].shape)}"
        )
    return luma_of_picture(window.cut(picture))


def _against_truth(
    fused: Tensor, reference: Tensor, meter: Meter
) -> tuple[dict[str, float], dict[str, str]]:
    if fused.shape != reference.shape:
        sizes = _size(reference.shape), _size(fused.shape)
        return {}, {TRUTH[:-1]: f"it is {sizes[0]}, the fused image {sizes[1]}"}
    values, problems = meter.measure(fused, reference[None])
    return (
        {TRUTH + name: value for name, value in values.items()},
        {TRUTH + name: why for name, why in problems.items()},
    )


def _size(shape: Sequence[int]) -> str:
    return f"{shape[-1]}x{shape[-2]}"
