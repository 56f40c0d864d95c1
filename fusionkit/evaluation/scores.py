"""Scores of methods on scenes, and what can honestly be said of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .presets import RANKINGS

RESAMPLES = 10_000


@dataclass(frozen=True)
class Column:
    """One metric of a table."""

    name: str
    higher_is_better: bool
    convention: str = ""
    summed: bool = False
    """Whether it is a sum over the sources, which grows with their number."""


@dataclass(frozen=True)
class Difference:
    """A mean difference from the baseline over the scenes of both, and its 95% interval."""

    mean: float
    low: float
    high: float
    scenes: int

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero; one scene has no interval."""
        return self.scenes > 1 and (self.low > 0 or self.high < 0)

    def __neg__(self) -> Difference:
        return Difference(-self.mean, -self.high, -self.low, self.scenes)


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
    """

    methods: list[str]
    scenes: list[str]
    columns: list[Column]
    values: NDArray[np.float64]
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

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
        """Compare every other method with one: paired bootstrap over scenes, 95% percentiles.

        A difference is None where the two share no scene.
        """
        reference = self.values[self.methods.index(baseline)]
        found = {}
        for method, values in zip(self.methods, self.values, strict=True):
            if method != baseline:
                found[method] = [
                    paired_bootstrap(values[:, place] - reference[:, place])
                    for place in range(len(self.columns))
                ]
        return found

    def _signs(self) -> NDArray[np.float64]:
        return np.array([1.0 if column.higher_is_better else -1.0 for column in self.columns])


def paired_bootstrap(differences: NDArray[np.float64], seed: int = 0) -> Difference | None:
    """Return the mean of paired differences with its 95% bootstrap interval (Efron 1979).

    NaN, of a scene that one of the two lacks, is left out.
    """
    kept = differences[~np.isnan(differences)]
    if not len(kept):
        return None
    generator = np.random.default_rng(seed)
    resampled = generator.integers(0, len(kept), (RESAMPLES, len(kept)))
    low, high = np.percentile(kept[resampled].mean(1), [2.5, 97.5])
    return Difference(float(kept.mean()), float(low), float(high), len(kept))


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
