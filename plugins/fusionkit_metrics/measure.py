"""What all metrics share: their declaration, and the checks of what they are given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor

INFINITE = float("inf")


class Measure(ABC):
    """A metric as a class that declares its convention and computes on plain stacks of images.

    Attributes
    ----------
    name
        What messages call it: the component's name.
    higher_is_better, convention, sources, bounds, reference, colour, partial, thread_safe
        See :class:`fusionkit.Metric`. ``bounds`` hold for every number of
        sources, so those of a sum over sources are infinite.
    summed
        Whether it is a sum over the sources, which grows with their number.
    least_sources
        The smallest number of sources that it can do with.
    least_side
        The smallest height and width, in pixels, that its windows fit into.
    """

    name: str
    higher_is_better: bool = True
    convention: str
    sources: str | int = "any"
    bounds: tuple[float, float] = (-INFINITE, INFINITE)
    reference: str
    summed: bool = False
    colour: bool = False
    partial: bool = False
    thread_safe: bool = True
    least_sources: int = 1
    least_side: int = 2

    def __call__(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Measure ``fused`` (B, 1, H, W) against ``sources`` (K, B, 1, H, W); return (B,).

        Raises
        ------
        ValueError
            The shapes do not go together, the metric is not defined for this
            number of sources, or its windows do not fit into the images.
        """
        self._check(fused, sources)
        with torch.no_grad():
            return self.measure(fused[:, 0].double(), sources[:, :, 0].double())

    @abstractmethod
    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Measure ``fused`` (B, H, W) against ``sources`` (K, B, H, W), both float64."""

    def _check(self, fused: Tensor, sources: Tensor) -> None:
        if fused.ndim != 4 or fused.shape[1] != 1 or sources.shape[1:] != fused.shape:
            raise ValueError(
                f"{self.name}: expects fused (B, 1, H, W) and sources (K, B, 1, H, W), "
                f"not {tuple(fused.shape)} and {tuple(sources.shape)}"
            )
        count = sources.shape[0]
        if isinstance(self.sources, int) and count != self.sources:
            raise ValueError(
                f"{self.name} is defined for {self.sources} sources only, and there are {count}"
            )
        if count < self.least_sources:
            raise ValueError(f"{self.name} needs {self.least_sources} sources or more, not {count}")
        height, width = fused.shape[-2:]
        if min(height, width) < self.least_side:
            raise ValueError(
                f"{self.name} needs images of at least {self.least_side} x {self.least_side} "
                f"pixels, not {height} x {width}"
            )


class Pixelwise(Measure):
    """A measure of values, wherever they are: it is defined on any set of pixels."""

    def within(self, fused: Tensor, sources: Tensor, where: Tensor) -> Tensor:
        """Measure on the pixels ``where`` (B, 1, H, W) alone; return (B,)."""
        self._check(fused, sources)
        values = []
        with torch.no_grad():
            for b, chosen in enumerate(where[:, 0]):
                f, s = fused[b, 0, chosen], sources[:, b, 0, chosen]
                values.append(self.measure(f[None, None].double(), s[:, None, None].double()))
        return torch.cat(values)


class Local(Measure):
    """A measure with a map, which can be restricted to the places whose centre counts."""

    def within(self, fused: Tensor, sources: Tensor, where: Tensor) -> Tensor:
        """Measure where ``where`` (B, 1, H, W) is true; return (B,)."""
        self._check(fused, sources)
        with torch.no_grad():
            return self.measure(fused[:, 0].double(), sources[:, :, 0].double(), where[:, 0])

    @abstractmethod
    def measure(self, fused: Tensor, sources: Tensor, where: Tensor | None = None) -> Tensor:
        """Measure as above, only where ``where`` (B, H, W) is true."""


def mean(maps: Tensor, where: Tensor | None = None) -> Tensor:
    """Mean over the pixels, or over those of ``where`` (B, H, W); all count if none of it is left.

    Maps may be smaller by the same margin on every side, as of windows inside the image:
    a window counts by its centre.
    """
    return average([(maps, None if where is None else centred(where, maps))])


def centred(where: Tensor, maps: Tensor) -> Tensor:
    """Return the middle of (B, H, W), of the size and type of the maps (..., h, w)."""
    height, width = maps.shape[-2:]
    top, left = (where.shape[-2] - height) // 2, (where.shape[-1] - width) // 2
    return where[..., top : top + height, left : left + width].to(maps)


def average(
    parts: Iterable[tuple[Tensor, Tensor | None]], dims: tuple[int, ...] = (-2, -1)
) -> Tensor:
    """Mean of maps that come in parts, as strips of rows, each with its weights >= 0 or without.

    The plain mean where all weights are 0: an image without any edge gives no weight to
    anything; then all its pixels count alike, so that what remains is a number.
    """
    plain, weighted, weight, count = [], [], [], 0
    for maps, weights in parts:
        plain.append(maps.sum(dims))
        count += maps.numel() // plain[-1].numel()
        if weights is not None:
            weighted.append((maps * weights).sum(dims))
            weight.append(weights.sum(dims))
    alike = torch.stack(plain).sum(0) / count
    if not weighted:
        return alike
    total = torch.stack(weight).sum(0)
    found = torch.stack(weighted).sum(0) / total.where(total > 0, 1.0)
    return found.where(total > 0, alike)
