"""Scores of methods on scenes, and what can honestly be said of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .presets import RANKINGS
from .statistics import Difference, holm, paired_bootstrap, randomisation_test


@dataclass(frozen=True)
class Column:
    """One metric of a table."""

    name: str
    higher_is_better: bool
    convention: str = ""
    summed: bool = False
    """Whether it is a sum over the sources, which grows with their number."""


@dataclass
class Scores:
    """The values of every method on every scene by every metric; NaN where there is none.

    Attributes
    ----------
    methods, scenes, columns
        The axes of ``values``.
    values
        (methods, scenes, columns), float64.
    counts
        How many sources each scene has; empty if that is not known.
    problems
        What could not be measured, and why, one line each.
    notes
        What a person should know of the images, one line each.
    """

    methods: list[str]
    scenes: list[str]
    columns: list[Column]
    values: NDArray[np.float64]
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def empty(
        cls, methods: Sequence[str], scenes: Sequence[str], columns: Sequence[Column]
    ) -> Scores:
        """Return a table without values."""
        shape = (len(methods), len(scenes), len(columns))
        return cls(list(methods), list(scenes), list(columns), np.full(shape, np.nan))

    def set(self, method: str, scene: str, found: Mapping[str, float]) -> None:
        """Enter the scores of one method on one scene, by metric name."""
        row = self.values[self.methods.index(method), self.scenes.index(scene)]
        for place, column in enumerate(self.columns):
            if column.name in found:
                row[place] = found[column.name]

    def of_scenes(self, chosen: Sequence[str]) -> Scores:
        """Return the scores of some of the scenes, in this order; problems stay behind."""
        places = [self.scenes.index(scene) for scene in chosen]
        counts = {scene: self.counts[scene] for scene in chosen if scene in self.counts}
        values = self.values[:, places]
        return Scores(list(self.methods), list(chosen), list(self.columns), values, counts)

    def mean(self) -> NDArray[np.float64]:
        """Return the means over scenes, (methods, columns); NaN where there is no scene."""
        return _without_warning(np.nanmean, self.values)

    def mean_per_source(self) -> dict[str, NDArray[np.float64]]:
        """Return the means of summed metrics divided by each scene's number of sources, by name."""
        counts = np.array([self.counts.get(scene, np.nan) for scene in self.scenes])
        each = _without_warning(np.nanmean, self.values / counts[None, :, None])
        return {
            column.name: each[:, place]
            for place, column in enumerate(self.columns)
            if column.summed and not np.isnan(each[:, place]).all()
        }

    def deviation(self) -> NDArray[np.float64]:
        """Return the sample standard deviations over scenes, (methods, columns)."""
        return _without_warning(lambda values, axis: np.nanstd(values, axis, ddof=1), self.values)

    def standard_errors(self) -> NDArray[np.float64]:
        """Return the standard errors of the means over scenes, (methods, columns)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            errors: NDArray[np.float64] = self.deviation() / np.sqrt(
                np.isfinite(self.values).sum(1)
            )
        return errors

    def best(self) -> NDArray[np.bool_]:
        """Mark the best mean of every column, (methods, columns)."""
        signed = self.mean() * self._signs()
        filled = np.where(np.isnan(signed), -np.inf, signed)
        found: NDArray[np.bool_] = (filled == filled.max(0)) & ~np.isnan(signed)
        return found

    def ranks(self) -> dict[str, NDArray[np.float64]]:
        """Return the mean rank of every method, by each ranking whose columns are all here.

        Ranks are of the means over scenes, 1 the best, ties sharing their average.
        """
        names = [column.name for column in self.columns]
        signed = self.mean() * self._signs()
        found = {}
        for ranking, wanted in RANKINGS.items():
            places = [names.index(name) for name in wanted if name in names]
            if len(places) == len(wanted) and not np.isnan(signed[:, places]).any():
                found[ranking] = np.mean([_ranks(signed[:, place]) for place in places], axis=0)
        return found

    def differences(self, baseline: str) -> dict[str, list[Difference | None]]:
        """Compare every other method with one, column by column, over the scenes of both.

        Each has the 95% interval of a paired BCa bootstrap, and a p-value corrected for all
        comparisons that there are here. A difference is None where the two share no scene.
        """
        others = [n for n, method in enumerate(self.methods) if method != baseline]
        pairs = self.values[others] - self.values[self.methods.index(baseline)]
        by_column = pairs.transpose(0, 2, 1).reshape(-1, len(self.scenes))
        found = [paired_bootstrap(differences) for differences in by_column]
        several = [n for n, each in enumerate(found) if each is not None and each.scenes > 1]
        corrected = holm(randomisation_test(by_column[several]).tolist()) if several else []
        p = dict(zip(several, corrected, strict=True))
        found = [
            replace(each, p=p[n]) if each is not None and n in p else each
            for n, each in enumerate(found)
        ]
        count = len(self.columns)
        return {
            self.methods[other]: found[n * count : (n + 1) * count]
            for n, other in enumerate(others)
        }

    def _signs(self) -> NDArray[np.float64]:
        return np.array([1.0 if column.higher_is_better else -1.0 for column in self.columns])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    better = (values[None, :] > values[:, None]).sum(1)
    equal = (values[None, :] == values[:, None]).sum(1)
    ranks: NDArray[np.float64] = better + (equal + 1) / 2
    return ranks


def _without_warning(
    reduce: Callable[..., Any], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    # An empty column, of a metric not defined here, is NaN and nothing to warn of.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(reduce(values, axis=1), dtype=np.float64)
