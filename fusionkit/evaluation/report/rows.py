"""The rows of a report: the cells of a variant as one, which are the same, and how they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..departures import Departure, departure, named_flags
from ..study import Cell, Study

ROLES = {
    "variant": "Variants",
    "target only": "Baseline: target only",
    "gaussian prior": "Baseline: gaussian prior",
    "fixed at the same NFE": "Baseline: fixed at the same NFE",
    "no denoiser": "Baseline: no denoiser",
}
"""Roles in the order of the report, with their titles; others follow under their own name."""


@dataclass(frozen=True)
class Row:
    """One row of the report: the cells of one variant, a cell per seed."""

    key: str
    label: str
    role: str
    cells: tuple[Cell, ...]


def rows_of(study: Study) -> list[Row]:
    """Gather the cells of each variant, in the order of the roles, then of the study."""
    gathered: dict[str, list[Cell]] = {}
    for cell in study.cells:
        gathered.setdefault(cell.variant, []).append(cell)
    rows = [
        Row(key, cells[0].label, cells[0].role, tuple(cells)) for key, cells in gathered.items()
    ]
    known = list(ROLES)
    order = [*known, *dict.fromkeys(row.role for row in rows if row.role not in known)]
    return sorted(rows, key=lambda row: order.index(row.role))


def reference_of(rows: Sequence[Row], study: Study) -> int:
    """Return the place of the row that differences are taken from."""
    labels = [row.label for row in rows]
    return labels.index(study.reference) if study.reference in labels else 0


def twins_of(
    rows: Sequence[Row], study: Study, lines: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[int | None]:
    """Return for each row the place of one with the same images on all scenes, if there is one."""
    images: dict[Any, int] = {}
    reference = reference_of(rows, study)
    twins: list[int | None] = [None] * len(rows)
    for place in sorted(range(len(rows)), key=lambda n: n != reference):
        found = [
            {lines[cell.key, scene]["sha256"] for cell in rows[place].cells}
            for scene in study.scenes
            if all((cell.key, scene) in lines for cell in rows[place].cells)
        ]
        if len(found) == len(study.scenes):
            first = images.setdefault(tuple(map(frozenset, found)), place)
            twins[place] = None if first == place else first
    return twins


def departures_of(rows: Sequence[Row], study: Study) -> list[Departure | None]:
    """Compare the recipe of each row that has one with the reference's."""
    reference = rows[reference_of(rows, study)].cells[0].recipe
    return [
        departure(row.cells[0].recipe, reference, named_flags(study.axes, row.role))
        if row.cells[0].recipe and reference
        else None
        for row in rows
    ]
