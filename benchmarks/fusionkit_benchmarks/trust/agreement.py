"""How well the order in which a metric puts methods agrees with that of the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from fusionkit.evaluation.scores import Column, Scores
from fusionkit.evaluation.statistics import Difference, paired_bootstrap

from ..quality.runner import Outcome


@dataclass(frozen=True)
class Group:
    """The agreement of all metrics with the truth on scenes of one kind.

    Attributes
    ----------
    title
        What kind: ``focus K=2``.
    methods
        How many methods were ranked.
    photographs
        What the scenes were made of.
    tau
        Kendall's tau-b of each metric by name, (photographs,); NaN where a metric says nothing.
    lost
        Likewise: by how many dB the method that the metric likes best is worse than the best one.
    """

    title: str
    methods: int
    photographs: tuple[str, ...]
    tau: dict[str, NDArray[np.float64]]
    lost: dict[str, NDArray[np.float64]]


def groups_of(outcome: Outcome, title: str, truth: str) -> list[Group]:
    """Return the groups of an outcome; ``truth`` is the column that tells how good a result is."""
    scores, view = outcome.scores, outcome.table.view
    return [
        _group(scores, f"{title} {label}", label, view.columns, truth)
        for label in outcome.table.groups
    ]


def _group(scores: Scores, title: str, label: str, columns: list[Column], truth: str) -> Group:
    place = {column.name: n for n, column in enumerate(scores.columns)}
    known = scores.values[:, :, place[f"{truth} {label}"]]
    tau, lost = {}, {}
    for column in columns:
        sign = 1 if column.higher_is_better else -1
        values = sign * scores.values[:, :, place[f"{column.name} {label}"]]
        pairs = [agreement(values[:, n], known[:, n]) for n in range(len(scores.scenes))]
        tau[column.name], lost[column.name] = map(np.array, zip(*pairs, strict=True))
    return Group(title, len(scores.methods), tuple(scores.scenes), tau, lost)


def agreement(values: NDArray[np.float64], known: NDArray[np.float64]) -> tuple[float, float]:
    """Compare how a metric and the truth rank methods on one scene; higher is better in both.

    Parameters
    ----------
    values, known
        (methods,) of the metric and of the truth, dB; methods that lack one are left out.

    Returns
    -------
    tau
        Kendall's tau-b, in [-1, 1]: pairs of methods in the same order less those in the opposite
        one, by all pairs, corrected for ties. NaN for fewer than three methods, or one value for
        all.
    lost
        dB between the best method and that which the metric likes best, the mean over several
        that it likes alike.
    """
    there = np.isfinite(values) & np.isfinite(known)
    values, known = values[there], known[there]
    if len(values) < 3:
        return np.nan, np.nan
    liked = known[values == values.max()]
    return float(kendalltau(values, known).statistic), float(known.max() - liked.mean())


def overall(groups: list[Group], name: str) -> Difference | None:
    """Return the mean tau of a metric over groups, with its 95% interval over photographs.

    A photograph counts once, with the mean over its groups: scenes made of one are no independent
    ones.
    """
    by_photograph: dict[str, list[float]] = {}
    for group in groups:
        for photograph, value in zip(group.photographs, group.tau[name], strict=True):
            if np.isfinite(value):
                by_photograph.setdefault(photograph, []).append(float(value))
    means = [float(np.mean(values)) for values in by_photograph.values()]
    return paired_bootstrap(np.array(means))


def mean_lost(groups: list[Group], name: str) -> float:
    """Return by how much choosing by a metric is worse than knowing the truth, dB, over groups."""
    values = np.concatenate([group.lost[name] for group in groups])
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
