"""Metrics: how good a fused image is, given its sources."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .kind import SOURCE_SYMMETRIC, Kind, members

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class Metric(Protocol):
    """A measure of a fused image against its sources.

    What it may have besides is in :class:`BaseMetric`.
    """

    higher_is_better: bool
    convention: str
    """The definition in one line, since toolkits disagree: units, window, base of the logarithm."""

    sources: str | int
    """``"any"``, or the only number of sources that it is defined for."""

    def __call__(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Measure ``fused`` (B, 1, H, W) against ``sources`` (K, B, 1, H, W); return (B,).

        Both are float64 BT.601 luma in [0, 255], not rounded.
        """
        ...


class BaseMetric:
    """What a metric has unless it says otherwise; it need not inherit this.

    Attributes
    ----------
    bounds
        The least and greatest value that it can take, infinite where there is none.
    reference
        The paper that it comes from.
    summed
        Whether it is a sum over the sources, which grows with their number, so that the value
        per source is reported beside it.
    colour
        Whether it sees channels instead of luma: RGB in [0, 255], (B, 3, H, W) and
        (K, B, 3, H, W), grey images with three equal ones. Where no source has colour, it sees
        one channel; where the fused image alone has none, it is not measured.
    partial
        Whether it is NaN for images in which there is nothing that it measures; these are left
        out of tables and means. NaN of any other metric is an error.
    thread_safe
        Whether it may be computed on a thread of its own, beside other metrics and beside itself:
        it keeps nothing between calls, neither reads nor changes what a process has once (default
        types, random states, files), and gives the same number to the last bit. Any other metric
        is computed while nothing else is.
    within
        ``within(fused, sources, where)`` is the same measure where ``where`` (B, 1, H, W), bool
        and true somewhere in every image, is true: a map averaged over those places, or the
        values of those pixels alone. With ``where`` true everywhere it gives what the call gives.
    """

    bounds: tuple[float, float] = (-inf, inf)
    reference: str = ""
    summed: bool = False
    colour: bool = False
    partial: bool = False
    thread_safe: bool = False
    within: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None


METRIC = Kind(
    group="metric",
    title="metric",
    hook="fusionkit_metrics",
    summary="how good a fused image is, given its sources",
    protocol=Metric,
    optional=members(BaseMetric),
    traits=frozenset({SOURCE_SYMMETRIC}),
)
"""The kind of metrics."""
