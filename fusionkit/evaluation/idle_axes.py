"""Axes of a study that change nothing in some of its rows: said before hours go into them."""

from __future__ import annotations

from collections.abc import Iterator

from ..contract.counting import number_of
from ..contract.registry import Registry
from ..errors import FusionkitError
from ..host.composing import compose
from ..host.idle import idle
from ..host.parts import Part
from .study import Study


def idle_axes(study: Study, registry: Registry, built: dict[str, Part] | None) -> Iterator[str]:
    """Yield a line for every axis, and why its values make the same images in some rows."""
    variants = {cell.variant: cell for cell in study.cells if cell.role == "variant"}
    found: dict[tuple[str, str], int] = {}
    for cell in variants.values():
        try:
            reasons = idle(compose(recipe=cell.recipe, registry=registry, built=built))
        except FusionkitError:  # whoever runs it will say so
            continue
        for axis in study.axes:
            if axis in reasons:
                found[axis, reasons[axis]] = found.get((axis, reasons[axis]), 0) + 1
    for (axis, why), rows in found.items():
        yield f"--{axis} changes nothing in {rows} of {number_of(len(variants), 'row')}: {why}"
