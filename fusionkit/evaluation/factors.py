"""Effects of the axes of a study: of one level instead of another, and of two together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Effect:
    """A contrast of the means of a study.

    Attributes
    ----------
    axes
        One for a main effect, two for an interaction.
    changes
        ``level`` against ``base``, of each axis.
    values
        (scenes, metrics): the contrast on each scene; NaN where a row lacks it.
    """

    axes: tuple[str, ...]
    changes: tuple[tuple[str, str], ...]
    values: NDArray[np.float64]

    @property
    def label(self) -> str:
        """What changes, in words."""
        words = [
            f"{axis}: {base} to {level}"
            for axis, (base, level) in zip(self.axes, self.changes, strict=True)
        ]
        return " x ".join(words)


def effects_of(
    levels: Sequence[Mapping[str, str]], values: NDArray[np.float64], axes: Sequence[str]
) -> list[Effect]:
    """Return main effects and two-way interactions, on every scene.

    The first level of an axis is its base. A main effect is the mean difference between a level
    and the base, over all settings of the other axes that have both. An interaction is the
    difference of two such differences: by how much more the change of one axis brings with the
    other at its level than with it at its base. An axis that only some levels of another have,
    such as an option of one component, is averaged over where that other is compared.

    Parameters
    ----------
    levels
        Of every row that is a point of the study, by axis.
    values
        (rows, scenes, metrics).
    axes
        Those to look at, in order.
    """
    names = {axis: list(dict.fromkeys(row[axis] for row in levels if axis in row)) for axis in axes}
    changed = {
        axis: [(found[0], level) for level in found[1:]] for axis, found in names.items() if found
    }
    effects: list[Effect] = []
    for axis, changes in changed.items():
        for change in changes:
            effects += _effect(levels, values, (axis,), (change,))
    for one, other in itertools.combinations(changed, 2):
        for both in itertools.product(changed[one], changed[other]):
            effects += _effect(levels, values, (one, other), both)
    return effects


def _effect(
    levels: Sequence[Mapping[str, str]],
    values: NDArray[np.float64],
    axes: tuple[str, ...],
    changes: tuple[tuple[str, str], ...],
) -> Iterator[Effect]:
    """Yield the contrast of some changes together, if there are settings that have all sides."""
    corners = list(itertools.product(*changes))
    rows = [
        [n for n, row in enumerate(levels) if tuple(row.get(axis) for axis in axes) == corner]
        for corner in corners
    ]
    # Other axes that all of these rows have are held equal; the rest is averaged over.
    every = [levels[n] for found in rows for n in found]
    held = sorted(set.intersection(*map(set, every)) - set(axes)) if every else []
    settings = [_by_setting(levels, found, held) for found in rows]
    shared = [key for key in settings[0] if all(key in found for found in settings)]
    if not shared:
        return
    contrast = np.zeros(values.shape[1:])
    for corner, found in zip(corners, settings, strict=True):
        means = [values[found[key]].mean(0) for key in shared]
        at_base = sum(level == base for level, (base, _) in zip(corner, changes, strict=True))
        contrast = contrast + (-1) ** at_base * np.mean(means, axis=0)
    yield Effect(axes, changes, contrast)


def _by_setting(
    levels: Sequence[Mapping[str, str]], rows: Sequence[int], held: Sequence[str]
) -> dict[tuple[str, ...], list[int]]:
    found: dict[tuple[str, ...], list[int]] = {}
    for n in rows:
        found.setdefault(tuple(levels[n][axis] for axis in held), []).append(n)
    return found
