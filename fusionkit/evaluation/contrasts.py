"""What a study says of its rows against one of them, and of its axes, as records."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from ..contract.counting import number_of
from ..errors import FusionkitWarning, UsageError
from .comparing import compared, how_tested, margins_of
from .factors import effects_of
from .records import Record, Records
from .report.summary import Summary
from .report.texts import twin_words


def pairwise(
    summary: Summary,
    base: int,
    chosen: Sequence[int],
    margin: float | Mapping[str, float] | None = None,
) -> Records:
    """Compare every row with one by the metrics at some places, see :meth:`StudyTable.pairwise`.

    Rows with the same images count once, and each has what they have; those of the one itself
    are left out.
    """
    labels = [row.label for row in summary.rows]
    measures = [summary.measures[n] for n in chosen]
    values = summary.scores.values[:, :, chosen]
    names = [measure.name for measure in measures]
    margins = margins_of(margin, names, summary.scores.mean()[base, chosen].tolist())
    first = [n if twin is None else twin for n, twin in enumerate(summary.twins)]
    others = [n for n, place in enumerate(first) if place != first[base]]
    own = [n for n in others if n == first[n]]
    cells = list(itertools.product(own, range(len(chosen))))
    differences = [values[n, :, m] - values[base, :, m] for n, m in cells]
    family = compared(
        np.reshape(differences, (len(cells), len(summary.scenes))), [margins[m] for _, m in cells]
    )
    found = [
        {
            "row": labels[n],
            "metric": names[m],
            **family.fields(cells.index((first[n], m)), measures[m].higher_is_better),
            **({"margin": margins[m]} if margin is not None else {}),
        }
        for n, m in itertools.product(others, range(len(chosen)))
    ]
    notes = [*filter(None, [twin_words(summary)])]
    notes += how_tested(family, f"Against {labels[base]}, {_count(summary)}")
    return Records(f"Differences from {labels[base]}", found, notes, _sure(found))


def effects(summary: Summary, chosen: Sequence[int]) -> Records:
    """Return the effects of the axes on the metrics at some places, see :meth:`StudyTable.effects`.

    Raises
    ------
    UsageError
        The study has no axis of two values.
    """
    places = [n for n, row in enumerate(summary.rows) if row.role == "variant"]
    contrasts = effects_of(
        [summary.rows[n].cells[0].levels for n in places],
        summary.scores.values[places][:, :, chosen],
        summary.study.axes,
    )
    if not contrasts:
        raise UsageError("there are no effects: no axis of the study has two values")
    cells = list(itertools.product(contrasts, range(len(chosen))))
    family = compared(np.array([effect.values[:, m] for effect, m in cells]))
    found = []
    for place, (effect, m) in enumerate(cells):
        measure = summary.measures[chosen[m]]
        fields = family.fields(place, measure.higher_is_better)
        if len(effect.axes) > 1 and fields["verdict"] in ("better", "worse"):
            fields["verdict"] = "interact"  # more of one thing with another is no merit
        found.append(
            {
                "effect": effect.label,
                "kind": "main" if len(effect.axes) == 1 else "interaction",
                "metric": measure.name,
                **fields,
            }
        )
    notes = how_tested(family, f"Over {_count(summary)}")
    return Records("Effects of the axes", found, notes, _sure(found))


def warned(records: Records) -> Records:
    """Return records, and warn of what speaks against them."""
    for note in records.notes:
        if note.startswith(("Too few", "With fewer")):
            warnings.warn(note, FusionkitWarning, stacklevel=3)
    return records


def _count(summary: Summary) -> str:
    seeds = max(1, len(summary.seeds))
    return f"{number_of(len(summary.scenes), 'scene')}, {number_of(seeds, 'seed')}"


def _sure(records: Sequence[Record]) -> frozenset[int]:
    sure = ("better", "worse", "differs", "interact")
    return frozenset(n for n, record in enumerate(records) if record["verdict"] in sure)
