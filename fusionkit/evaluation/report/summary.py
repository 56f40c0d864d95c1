"""What a study has found so far: its rows, averaged over seeds, against the reference."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...contract.registry import Registry
from ...errors import FusionkitError
from ...host.plugins import load_plugins
from ..departures import Departure
from ..folder import read_results, read_study, valid_lines
from ..presets import RANKINGS
from ..scores import Column, Scores
from ..statistics import Difference
from ..study import Study
from .rows import Row, departures_of, reference_of, rows_of, twins_of

COSTS = ("nfe", "seconds", "peak_mb")
COST_TITLES = {"nfe": "NFE", "seconds": "seconds", "peak_mb": "peak MB"}


@dataclass(frozen=True)
class Measure:
    """A metric; ``higher_is_better`` is None and ``convention`` empty if it is not installed."""

    name: str
    higher_is_better: bool | None = None
    convention: str = ""

    @property
    def title(self) -> str:
        """The name with an arrow that points where better is."""
        arrows = {True: " ↑", False: " ↓", None: ""}
        return self.name + arrows[self.higher_is_better]


@dataclass(frozen=True, eq=False)
class Summary:
    """Everything that a report says of a study, except the images.

    Attributes
    ----------
    scores
        Methods are the keys of the rows; values are averaged over seeds.
    costs
        (rows, scenes, costs in the order of `COSTS`), averaged over seeds.
    seed_deviation
        (rows, metrics): the sample standard deviation over seeds of the mean over the
        scenes that all seeds of the row have; NaN for one seed.
    twins
        For each row, the place of another whose images are the same, byte for byte, on all
        scenes; None for a row of its own, among them the first of its kind, or the reference.
    departures
        For each row with a recipe, how that differs from the reference's.
    ranks, ranked_scenes
        Mean ranks over the scenes that every row has all values of, and how many those are.
        A twin has the rank of its row, and takes none of its own.
    lines
        What was read of ``results.jsonl``, by cell and scene.
    missing, foreign, damaged
        How many cells are not done; how many lines are of no cell of the study, or of other
        code, sources or weights; how many are no longer what was written.
    """

    folder: Path
    study: Study
    rows: Sequence[Row]
    measures: Sequence[Measure]
    scores: Scores
    costs: NDArray[np.float64]
    seed_deviation: NDArray[np.float64]
    twins: Sequence[int | None]
    departures: Sequence[Departure | None]
    ranks: Mapping[str, NDArray[np.float64]]
    ranked_scenes: int
    lines: Mapping[tuple[str, str], Mapping[str, Any]]
    missing: int
    foreign: int
    damaged: int = 0
    problems: Sequence[str] = field(default_factory=tuple)

    @property
    def scenes(self) -> list[str]:
        """The names of the scenes."""
        return list(self.study.scenes)

    @property
    def cells(self) -> int:
        """How many pairs of cell and scene the whole study has."""
        return len(self.study.cells) * len(self.study.scenes)

    @property
    def seeds(self) -> list[int]:
        """The seeds of the recipes."""
        return sorted({cell.seed for cell in self.study.cells if cell.recipe})

    @property
    def reference(self) -> int:
        """The place of the row that differences are taken from."""
        return reference_of(self.rows, self.study)

    @property
    def compared(self) -> list[Difference]:
        """The differences that are tested: over two scenes or more, twins left out."""
        return [
            each
            for found, twin in zip(self.differences, self.twins, strict=True)
            for each in found
            if twin is None and each is not None and each.scenes > 1
        ]

    def done(self, row: Row) -> int:
        """Return on how many scenes every seed of a row is done."""
        return sum(all((cell.key, s) in self.lines for cell in row.cells) for s in self.scenes)

    @cached_property
    def differences(self) -> list[list[Difference | None]]:
        """The differences of every row from the reference, whose own are None."""
        nothing: list[Difference | None] = [None] * len(self.measures)
        found = _of_own(self.scores, self.twins).differences(self.rows[self.reference].key)
        places = [n if twin is None else twin for n, twin in enumerate(self.twins)]
        return [found.get(self.rows[place].key, nothing) for place in places]

    def mean_costs(self) -> NDArray[np.float64]:
        """Return the costs over scenes, (rows, costs)."""
        return _mean(self.costs, 1)


def summarise(folder: Path, registry: Registry | None = None) -> Summary:
    """Read a study and its results; raise UsageError if the folder holds none."""
    study = read_study(folder)
    results = read_results(folder)
    lines = valid_lines(study, results)
    rows = rows_of(study)
    measures = describe(study, load_plugins() if registry is None else registry)
    scores = Scores(
        [row.key for row in rows],
        list(study.scenes),
        [Column(m.name, m.higher_is_better is not False, m.convention) for m in measures],
        np.full((len(rows), len(study.scenes), len(measures)), np.nan),
    )
    deviation = np.full((len(rows), len(measures)), np.nan)
    costs = np.full((len(rows), len(study.scenes), len(COSTS)), np.nan)
    for place, row in enumerate(rows):
        by_seed = _by_seed(row, study, lines)
        scores.values[place] = _mean(by_seed[..., len(COSTS) :], 0)
        costs[place] = _mean(by_seed[..., : len(COSTS)], 0)
        deviation[place] = _over_seeds(by_seed[..., len(COSTS) :])
    twins = twins_of(rows, study, lines)
    ranks, ranked = _ranks(_of_own(scores, twins), measures)
    places = np.cumsum([twin is None for twin in twins]) - 1  # among the rows that are ranked
    own = [places[n if twin is None else twin] for n, twin in enumerate(twins)]
    ranks = {name: values[own] for name, values in ranks.items()}
    labels = {cell.key: cell.label for cell in study.cells}
    problems = tuple(
        f"{labels[cell]}, {scene}: {metric}: {why}"
        for (cell, scene), line in lines.items()
        for metric, why in line.get("problems", {}).items()
    )
    return Summary(
        folder,
        study,
        rows,
        measures,
        scores,
        costs,
        deviation,
        twins,
        departures_of(rows, study),
        ranks,
        ranked,
        lines,
        len(study.cells) * len(study.scenes) - len(lines),
        len(results.lines) - len(lines),
        results.damaged,
        problems,
    )


def describe(study: Study, registry: Registry) -> list[Measure]:
    """Look metrics up; one that is not installed, or cannot be built, is known by name only."""
    from ..meter import Meter

    found = []
    for name in study.metrics:
        try:
            column = Meter([name], registry, options=study.options).columns[0]
        except FusionkitError:
            found.append(Measure(name))
        else:
            found.append(Measure(name, column.higher_is_better, column.convention))
    return found


def _of_own(scores: Scores, twins: Sequence[int | None]) -> Scores:
    """Return the scores of the rows that are no twins of others."""
    kept = [place for place, twin in enumerate(twins) if twin is None]
    methods = [scores.methods[place] for place in kept]
    return Scores(methods, scores.scenes, scores.columns, scores.values[kept])


def _by_seed(
    row: Row, study: Study, lines: Mapping[tuple[str, str], Mapping[str, Any]]
) -> NDArray[np.float64]:
    """Return (cells, scenes, costs and metrics) of a row; NaN where there is nothing."""
    names = [*COSTS, *study.metrics]
    values = np.full((len(row.cells), len(study.scenes), len(names)), np.nan)
    for n, cell in enumerate(row.cells):
        for m, scene in enumerate(study.scenes):
            line = lines.get((cell.key, scene), {})
            flat = {**line, **line.get("values", {})}
            for place, name in enumerate(names):
                found = flat.get(name)
                # An infinite value has neither mean nor interval; the CSV still shows it.
                if isinstance(found, int | float) and math.isfinite(found):
                    values[n, m, place] = found
    return values


def _over_seeds(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(values) < 2:
        return np.full(values.shape[2], np.nan)
    shared = np.where(np.isnan(values).any(0), np.nan, values)  # the scenes that all seeds have
    return _quietly(lambda: np.std(_mean(shared, 1), axis=0, ddof=1))


def _ranks(
    scores: Scores, measures: Sequence[Measure]
) -> tuple[dict[str, NDArray[np.float64]], int]:
    """Rank rows on the scenes that all of them have: means over other scenes say nothing."""
    known = {measure.name for measure in measures if measure.higher_is_better is not None}
    wanted = {name for names in RANKINGS.values() if known.issuperset(names) for name in names}
    places = [n for n, measure in enumerate(measures) if measure.name in wanted]
    shared = np.logical_not(np.isnan(scores.values[:, :, places]).any(axis=(0, 2)))
    if not places or not shared.any() or len(scores.methods) < 2:
        return {}, 0
    kept = Scores(
        scores.methods,
        [scores.scenes[place] for place in np.flatnonzero(shared)],
        [scores.columns[place] for place in places],
        scores.values[:, shared][:, :, places],
    )
    return kept.ranks(), int(shared.sum())


def _mean(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return _quietly(lambda: np.nanmean(values, axis=axis))


def _quietly(reduce: Callable[[], Any]) -> NDArray[np.float64]:
    # Where nothing is done yet the mean is NaN, which is what the report shows as "-".
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(reduce(), dtype=np.float64)
