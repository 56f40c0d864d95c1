"""A set of metrics, built once, and the luma and channels of pictures that it measures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..contract.component import BuildContext
from ..contract.metric import METRIC, Metric
from ..contract.registry import Registry
from ..contract.stray import prints_apart, prints_on_stderr
from ..host.hardware import usable_device
from ..host.pool import cores
from ..imaging import Picture
from ..imaging.luma import luma_of
from ..imaging.values import to_unit
from ..ops.threads import lent_threads, side_by_side
from .presets import REFERENCE_METRICS, own_metrics
from .scores import Column

_MOST_THREADS = 4  # each takes the memory of a metric

_Call = tuple[Callable[..., Tensor], tuple[Tensor, ...]]  # what is called, and with what

_seconds: dict[type, float] = {}  # that a metric took last

GROUND = "ground"
"""The column of the mean luma of the fused image off the foreground."""

Colours = tuple[Tensor, Tensor] | tuple[()] | None
"""Channels of a fused image, (3, H, W), and of its sources, (K, 3, H, W), in [0, 255]."""


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
        # One thread feeds a GPU as well as several.
        self._threads = 1
        if self.device.type == "cpu":
            self._threads = min(torch.get_num_threads(), cores(), _MOST_THREADS)
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

    def taking_from(self, other: Meter) -> Meter:
        """Take from another meter the metrics that compare with one image alone; return self."""
        alone = [name for name, metric in other.metrics.items() if metric.sources == 1]
        self._metrics |= {name: other._metrics.pop(name) for name in alone}
        return self

    @property
    def in_colour(self) -> bool:
        """Whether a metric sees colour."""
        return any(getattr(metric, "colour", False) for metric in self._metrics.values())

    def measure(
        self,
        fused: Tensor,
        sources: Tensor,
        where: Tensor | None = None,
        colours: Colours = None,
    ) -> tuple[dict[str, float], dict[str, str]]:
        """Measure one image, (H, W), against its sources, (K, H, W): luma in [0, 255].

        With ``where``, (H, W) bool and somewhere true, there only. ``colours`` are the channels
        of both, see :meth:`colours`. Each metric is computed on one thread.

        Returns
        -------
        values, problems
            By metric. A metric that is not defined for this K, or not for a part of an image, or
            that finds nothing to measure, is in neither; one that raises, or returns something
            else than a number, is a problem.
        """
        fused_batch = fused.to(self.device)[None, None]
        source_batch = sources.to(self.device)[:, None, None]
        place = () if where is None else (where.to(self.device)[None, None],)
        asked: dict[str, _Call] = {}
        for name, metric in self._metrics.items():
            compute = metric if where is None else getattr(metric, "within", None)
            if metric.sources not in ("any", len(sources)) or compute is None:
                continue
            images = (fused_batch, source_batch)
            if getattr(metric, "colour", False) and colours is not None:
                if not colours:
                    continue
                images = colours[0].to(self.device)[None], colours[1].to(self.device)[:, None]
            asked[name] = compute, (*images, *place)
        values, problems = {}, {}
        for name, value in self._computed(asked).items():
            if isinstance(value, str):
                problems[name] = value
            elif value == value:
                values[name] = value
            elif not getattr(self._metrics[name], "partial", False):
                problems[name] = "it returned NaN"
        return values, problems

    def _computed(self, asked: Mapping[str, _Call]) -> dict[str, float | str]:
        """Compute metrics, those that allow it side by side; what is raised is a text."""

        def compute(name: str) -> float | str:
            began = time.perf_counter()
            value = _value(name, *asked[name])
            _seconds[type(self._metrics[name])] = time.perf_counter() - began
            return value

        def last(name: str) -> float:
            return _seconds.get(type(self._metrics[name]), math.inf)

        beside = [name for name in asked if getattr(self._metrics[name], "thread_safe", False)]
        beside.sort(key=last, reverse=True)  # no long one is left over at the end
        with lent_threads(self._threads), prints_apart():
            found = dict(zip(beside, side_by_side(compute, beside), strict=True))
            # The others may touch what all threads share: each by itself.
            return {name: found[name] if name in found else compute(name) for name in asked}

    def colours(self, fused: Picture | None, sources: Sequence[Picture]) -> Colours:
        """Return the channels of a fused image and its sources, for the metrics that see them.

        None where nobody asks, or no source has colour; empty where the fused image alone has
        none, as a fusion of luma (None for a picture), which is not compared then.
        """
        if not self.in_colour or all(picture.pixels.ndim == 2 for picture in sources):
            return None
        if fused is None or fused.pixels.ndim == 2:
            return ()
        return channels_of(fused), torch.stack([channels_of(picture) for picture in sources])

    def measure_foreground(
        self, fused: Tensor, sources: Tensor, threshold: float, colours: Colours = None
    ) -> tuple[dict[str, float], dict[str, str]]:
        """Measure where some source exceeds a grey level, and add the mean elsewhere as GROUND."""
        where = (sources > threshold).any(0)
        if not where.any():
            return {}, {"foreground": f"no source exceeds {threshold:g} anywhere"}
        values, problems = self.measure(fused, sources, where, colours)
        if not where.all():
            values[GROUND] = float(fused[~where].mean())
        return values, problems


def _value(name: str, compute: Callable[..., Tensor], images: Sequence[Tensor]) -> float | str:
    """Return what a metric is, or what it raises, in one line."""
    try:
        with torch.no_grad(), prints_on_stderr(f"metric {name}"):
            return float(compute(*images).reshape(()))
    except Exception as error:
        return " ".join(f"{type(error).__name__}: {error}".split())


def ground_column(threshold: float) -> Column:
    """Return the column of what a fused image shows where its sources show nothing."""
    about = f"mean luma of the fused image where no source exceeds {threshold:g}"
    return Column(GROUND, higher_is_better=False, convention=about)


def luma_of_picture(picture: Picture) -> Tensor:
    """Return BT.601 luma in [0, 255], (H, W) float64, not rounded, of channels of 256 levels.

    Deeper channels are rounded to these levels: some metrics (FMI, Nabf) see the steps of 8
    bits where an image is smooth, and all published values are of 8 bits.
    """
    stored = _levels(picture)
    return torch.from_numpy(stored if stored.ndim == 2 else luma_of(stored))


def channels_of(picture: Picture) -> Tensor:
    """Return RGB of 256 levels, (3, H, W) float64; three equal channels of a grey image."""
    stored = torch.from_numpy(_levels(picture))
    return stored.expand(3, -1, -1) if stored.ndim == 2 else stored.movedim(-1, 0)


def _levels(picture: Picture) -> NDArray[np.float64]:
    stored = picture.pixels.astype(np.float64)
    if picture.dtype != np.uint8 or (picture.low, picture.high) != (0, 255):
        stored = np.rint(255 * to_unit(stored, picture.low, picture.high))
    return stored


def reference_meter(registry: Registry, device: str = "cpu", also: Meter | None = None) -> Meter:
    """Return the meter of what is measured against a ground truth.

    That are PSNR and SSIM, and what of another meter is defined for one image beside the fused
    one alone, which is taken out of it.
    """
    meter = Meter(own_metrics(REFERENCE_METRICS, registry), registry, device)
    return meter if also is None else meter.taking_from(also)
