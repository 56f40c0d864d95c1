"""One fused image, measured from Python: ``fusionkit.evaluate``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..contract.metric import METRIC, Metric
from ..contract.registry import Registry
from ..errors import FusionkitWarning
from ..host.plugins import load_plugins
from ..host.result import Result
from ..imaging import Picture, in_one_profile
from ..imaging.sources import Source, source_picture, source_pictures
from ..recipes.finding import METRICS
from .conventions import OURS, in_convention
from .given import GivenObjects
from .measure import TRUTH, same_size
from .meter import Meter, luma_of_picture, reference_meter
from .presets import DEFAULT_PRESET, metric_names, recorded_metrics
from .ranges import REFERENCE, Ranges, parse_ranges, shared_range
from .window import shared_window


def evaluate(
    fused: Result | Source,
    sources: Sequence[Source],
    *,
    metrics: str | Sequence[str | Metric] | None = None,
    metric_options: Mapping[str, Mapping[str, Any]] | None = None,
    convention: str = OURS,
    reference: Source | None = None,
    range: Sequence[str] = (),
    stretch: Sequence[int] = (),
    registry: Registry | None = None,
) -> dict[str, float]:
    """Measure a fused image against its sources, as ``fusionkit evaluate`` does.

    Parameters
    ----------
    fused
        What :func:`fusionkit.fuse` returned, or an image as it takes sources.
    sources
        What was fused, two or more, likewise.
    metrics
        Names of metrics, metrics of your own, or the name of a preset; by default those that the
        recipe of the result names, else the preset ``infrared-visible``.
    metric_options
        Options by metric: ``{"qabf": {"orientation": "wrapped"}}``.
    convention
        The toolbox whose conventions the metrics follow: ``ours``, ``evaluator`` or ``vifb``.
    reference
        The ground truth, if it is known: adds ``truth-psnr`` and ``truth-ssim``, and metrics that
        compare with nothing else are then measured against it.
    range, stretch
        Value ranges of the sources, as the settings of these names say them: ``["2:0,4095"]``.
        A result has its own; another fused image that its sources share, if it is of their type.
    registry
        Where metrics are found; by default all installed plugins.

    Returns
    -------
    dict
        Value by metric. A metric that is not defined for so many sources is not in it.

    Raises
    ------
    ImageError
        An image cannot be read, or they are not of one size.
    UsageError
        There is no such metric or convention, or a range is wrong.

    Warns
    -----
    FusionkitWarning
        For a metric that could not be computed, which is left out.

    Examples
    --------
    >>> import numpy as np
    >>> import fusionkit
    >>> dark, bright = np.full((32, 32), 40, np.uint8), np.full((32, 32), 200, np.uint8)
    >>> fusionkit.evaluate(dark, [dark, bright], metrics=["mi"], reference=dark)["truth-psnr"]
    100.0
    """
    registry = load_plugins() if registry is None else registry
    ranges = Ranges(parse_ranges(range, len(sources)), tuple(stretch))
    pictures = same_size(_sources(sources, fused, ranges, range, stretch))
    window, _ = shared_window(pictures)

    def inside(image: Result | Source, called: str) -> Picture:
        picture = _picture(image, called, pictures, ranges)
        same_size([pictures[0], picture])
        return window.cut(picture)

    def measured(
        meter: Meter, beside: Sequence[Picture]
    ) -> tuple[dict[str, float], dict[str, str]]:
        luma = torch.stack([luma_of_picture(one) for one in beside])
        return meter.measure(luma_of_picture(shown), luma, colours=meter.colours(shown, beside))

    shown = inside(fused, "fused")
    given = GivenObjects(registry)
    names = _names(metrics, fused, given, registry)
    options = in_convention(convention, names, given.registry, metric_options)
    meter = Meter(names, given.registry, options=options)
    against = None if reference is None else reference_meter(registry, also=meter)
    values, problems = measured(meter, [window.cut(one) for one in pictures])
    if reference is not None and against is not None:
        found, failed = measured(against, [inside(reference, REFERENCE)])
        values |= {TRUTH + name: value for name, value in found.items()}
        problems |= {TRUTH + name: why for name, why in failed.items()}
    for name, why in problems.items():
        warnings.warn(f"{name}: {why}", FusionkitWarning, stacklevel=2)
    return values


def _names(
    metrics: str | Sequence[str | Metric] | None,
    fused: Result | Source,
    given: GivenObjects,
    registry: Registry,
) -> Sequence[str]:
    said: Any = metrics
    if said is None and isinstance(fused, Result):
        said = fused.record.get(METRICS)
    elif said is None and isinstance(fused, (str, os.PathLike)):
        said = recorded_metrics([fused])
    said = said or DEFAULT_PRESET
    return (
        metric_names(said, registry)
        if isinstance(said, str)
        else [given.name(METRIC, one) for one in said]
    )


def _sources(
    sources: Sequence[Source],
    fused: Result | Source,
    ranges: Ranges,
    said: Sequence[str],
    stretch: Sequence[int],
) -> Sequence[Picture]:
    """Read the sources: files as on a command line, where records beside results tell ranges."""
    paths = [source for source in sources if isinstance(source, (str, os.PathLike))]
    if len(paths) == len(sources) > 1:
        results = [Path(fused)] if isinstance(fused, (str, os.PathLike)) else []
        return ranges.sources(paths, results)
    return in_one_profile(source_pictures(sources, said, stretch))


def _picture(
    image: Result | Source, called: str, sources: Sequence[Picture], ranges: Ranges
) -> Picture:
    if isinstance(image, (str, os.PathLike)):
        return ranges.result(called, image, sources)
    if isinstance(image, Result):
        bounds = image.record["output"]["range"]
        return source_picture(image.image, 0, (float(bounds[0]), float(bounds[1])), called)
    picture = source_picture(image, 0, None, called)
    shared = shared_range(picture, sources)
    return picture if shared is None else source_picture(image, 0, shared, called)
