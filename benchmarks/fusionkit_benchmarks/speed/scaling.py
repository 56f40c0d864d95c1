"""How the cost grows: with pixels, with evaluations, and with sources for the weighting alone."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fusionkit.contract.registry import Registry
from fusionkit.host.composing import compose
from fusionkit.host.hardware import cost_clock
from fusionkit.host.parts import Fused, Part
from fusionkit.host.pipeline import Pipeline
from fusionkit.host.record import environment
from fusionkit.recipes.finding import Layer
from fusionkit.testing.doubles import WeightedMean, synthetic_sources

SIDES = (1, 2, 4, 8)
"""By what the given width and height are multiplied: 1 to 64 times the pixels."""

STEPS = (1, 2, 4, 8)

SOURCES = (2, 3, 4, 6)

SIDE = 2
"""The same for steps and sources: a size at which the estimator's constant costs are small."""


@dataclass(frozen=True)
class Point:
    """One place of an axis: a pipeline, what it is given, and what its cost should follow."""

    label: str
    pipeline: Pipeline
    sources: Tensor

    def fuse(self) -> tuple[float, Fused]:
        """Fuse; return the seconds, and what came out."""
        device = self.pipeline.context.device
        began = cost_clock(device)
        fused = self.pipeline(self.sources)
        return cost_clock(device) - began, fused


def scaling(
    recipe: Layer, registry: Registry, size: tuple[int, int], count: int, repeats: int
) -> dict[str, Any]:
    """Measure the sampling cost, :func:`.cost_clock`, along three axes; JSON-ready.

    Parameters
    ----------
    recipe, registry
        What is measured.
    size
        Width and height of the smallest images.
    count
        Sources, but along their axis.
    repeats
        How often each axis is gone through, up and down in turn.

    Returns
    -------
    dict
        For ``pixels``, ``steps`` and ``sources`` a list of points. ``amount`` is what the
        cost should be linear in: pixels, NFE, and sources (whose runs leave out
        the fused trajectory and the objective, so that the weighting is alone). ``ratio`` is the
        time over that of the axis's first point, in the same pass, over the ratio of amounts:
        1 is linear.
    """
    built: dict[str, Part] = {}

    def composed(objective: Any = None, **settings: Any) -> Pipeline:
        # In the recipe: it is no news that steps change nothing where there is no trajectory.
        said = {**recipe, **settings}
        return compose(recipe=said, objective=objective, registry=registry, built=built)

    def sources(K: int, side: int) -> Tensor:
        width, height = (side * n for n in size)
        return synthetic_sources(K, H=height, W=width, dtype=torch.float32).clamp(-1, 1)

    def pixels(_: Fused, given: Tensor) -> float:
        return given[0, 0, 0].numel()

    def evaluations(fused: Fused, _: Tensor) -> float:
        return fused.nfe

    def number(_: Fused, given: Tensor) -> float:
        return len(given)

    plain = composed()
    alone = composed(objective=WeightedMean(0.0))
    axes: dict[str, tuple[list[Point], Callable[[Fused, Tensor], float]]] = {
        "pixels": (
            [Point(_size(sources(count, n)), plain, sources(count, n)) for n in SIDES],
            pixels,
        ),
        "steps": (
            [
                Point(
                    f"{n} step{'s' * (n > 1)}",
                    composed(steps=n, sigmas=()),
                    sources(count, SIDE),
                )
                for n in STEPS
            ],
            evaluations,
        ),
        "sources": ([Point(f"{K} sources", alone, sources(K, SIDE)) for K in SOURCES], number),
    }
    context = plain.context
    return {
        "recipe": plain.as_recipe(),
        "environment": environment(context.device, context.precision),
        "repeats": repeats,
        "axes": {name: _along(*axis, repeats) for name, axis in axes.items()},
    }


def _along(
    points: Sequence[Point], amount: Callable[[Fused, Tensor], float], repeats: int
) -> list[dict[str, Any]]:
    fused = [point.fuse()[1] for point in points]  # not counted: kernels are chosen, memory is got
    seconds: list[list[float]] = [[] for _ in points]
    for n in range(repeats):
        places = range(len(points)) if n % 2 == 0 else reversed(range(len(points)))
        for place in places:
            seconds[place].append(points[place].fuse()[0])
    amounts = [amount(out, point.sources) for out, point in zip(fused, points, strict=True)]
    rows = []
    for point, out, spent, much in zip(points, fused, seconds, amounts, strict=True):
        # An axis along which nothing is evaluated, as with fixed weights alone, has no ratio to it.
        share = much / amounts[0] if amounts[0] else 1.0
        ratios = [here / first / share for here, first in zip(spent, seconds[0], strict=True)]
        rows.append(
            {
                "label": point.label,
                "amount": much,
                "nfe": out.nfe,
                "seconds": spent,
                "ratio": {
                    "median": statistics.median(ratios),
                    "least": min(ratios),
                    "most": max(ratios),
                },
            }
        )
    return rows


def _size(sources: Tensor) -> str:
    height, width = sources.shape[-2:]
    return f"{width} x {height}"
