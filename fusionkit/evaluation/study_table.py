"""What a study has found, as an object: tables, comparisons, effects, plots and files."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..contract.options import suggest
from ..contract.registry import Registry
from ..errors import UsageError
from .contrasts import effects, pairwise, warned
from .records import Record, Records, as_csv, pandas, shown, write_by_suffix
from .report import EMBEDDED_SCENES
from .report.latex import as_latex, competing
from .report.page import page
from .report.summary import COSTS, Summary, summarise
from .report.texts import as_markdown, as_text, overview, pairs, warnings_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


class StudyTable:
    """The results of a study: one row for each of its recipes, averaged over seeds and scenes.

    Made by :func:`fusionkit.study`, or by :meth:`read` of the folder that ``fusionkit ablate``
    wrote.
    """

    def __init__(self, summary: Summary, room: Any = None) -> None:
        self.summary = summary
        self._room = room  # a temporary folder, which goes with this object

    @classmethod
    def read(
        cls, folder: str | os.PathLike[str], *, registry: Registry | None = None, room: Any = None
    ) -> StudyTable:
        """Read the folder of a study; raise UsageError if it holds none.

        ``registry`` tells the metrics' directions: by default the installed plugins. ``room`` is
        kept as long as the table.
        """
        return cls(summarise(Path(folder), registry), room)

    @property
    def folder(self) -> Path:
        """Where the study is kept, with its images."""
        return self.summary.folder

    @property
    def rows(self) -> list[str]:
        """The labels of the rows, variants first."""
        return [row.label for row in self.summary.rows]

    @property
    def metrics(self) -> list[str]:
        """The names of the metrics."""
        return [measure.name for measure in self.summary.measures]

    @property
    def scenes(self) -> list[str]:
        """The names of the scenes."""
        return self.summary.scenes

    @property
    def problems(self) -> list[str]:
        """What a reader must know before the numbers, a sentence each."""
        return [*warnings_of(self.summary), *self.summary.problems]

    def records(self) -> list[Record]:
        """Return every value: a record for each cell and scene that is done."""
        names = self.metrics
        found: list[Record] = []
        for row, cell, scene in pairs(self.summary):
            line = self.summary.lines.get((cell.key, scene))
            if line is not None:
                values = line.get("values", {})
                found.append(
                    {
                        "row": row.label,
                        "role": row.role,
                        "seed": cell.seed if cell.recipe else None,
                        "scene": scene,
                        **{name: values.get(name) for name in names},
                        **{name: line.get(name) for name in COSTS},
                    }
                )
        return found

    def to_pandas(self) -> DataFrame:
        """Return every value as a data frame; pandas is imported only here.

        Raises
        ------
        UsageError
            pandas is not installed.
        """
        return pandas().DataFrame(self.records())

    def means(self) -> Records:
        """Return the means over scenes, with their standard errors under ``METRIC se``."""
        summary = self.summary
        means, errors = summary.scores.mean(), summary.scores.standard_errors()
        found = []
        for place, row in enumerate(summary.rows):
            record: dict[str, Any] = {"row": row.label, "role": row.role}
            for n, name in enumerate(self.metrics):
                record |= {name: float(means[place, n]), f"{name} se": float(errors[place, n])}
            costs = zip(COSTS, summary.mean_costs()[place], strict=True)
            found.append({**record, **{name: float(cost) for name, cost in costs}})
        return Records("Means", found, [overview(summary), *warnings_of(summary)])

    def best(self, metric: str | None = None) -> Any:
        """Return the label of the row with the best mean; without a metric, by metric.

        Sources themselves do not compete: copying one is no fusion. None where the metric's
        direction is not known, or nothing is measured.
        """
        if metric is None:
            return {name: self.best(name) for name in self.metrics}
        n = self.place_of(metric)
        measure, means = self.summary.measures[n], self.summary.scores.mean()[:, n]
        means = np.where(competing(self.summary)[:, 0], means, math.nan)
        if measure.higher_is_better is None or np.isnan(means).all():
            return None
        return self.rows[int(np.nanargmax(means if measure.higher_is_better else -means))]

    def pairwise(
        self,
        reference: str | None = None,
        metrics: Sequence[str] | None = None,
        margin: float | Mapping[str, float] | None = None,
    ) -> Records:
        """Compare every row with one of them, scene by scene.

        Parameters
        ----------
        reference
            A row, by its label; by default the study's own.
        metrics
            Those to compare by; all by default. Fewer comparisons are corrected for less.
        margin
            The difference that would not matter: by metric, in its units, or one number, a share
            of the reference's mean. Then it is tested, too, whether rows are equivalent.

        Returns
        -------
        Records
            ``row``, ``metric``, ``difference`` with its interval (``low``, ``high``), ``p``,
            ``wilcoxon p``, ``effect size``, ``scenes``, the ``verdict`` (better, worse,
            equivalent or undecided), and with a margin ``equivalence p`` and ``margin``.

        Raises
        ------
        UsageError
            There is no such row or metric, or a margin is no number above 0.

        Warns
        -----
        FusionkitWarning
            Where there are too few scenes for what is asked.
        """
        return warned(
            pairwise(self.summary, self.place_of_row(reference), self._places(metrics), margin)
        )

    def effects(self, metrics: Sequence[str] | None = None) -> Records:
        """Return what each axis does by itself, and two together, with intervals.

        A main effect is the mean difference that a level makes against the first of its axis,
        over all settings of the others. An interaction is the difference of two such
        differences. All are tested as :meth:`pairwise` does, and corrected for their number.

        Parameters
        ----------
        metrics
            Those to look at; all by default.

        Raises
        ------
        UsageError
            There is no such metric, or the study has no axis.
        """
        return warned(effects(self.summary, self._places(metrics)))

    def save(
        self, path: str | os.PathLike[str], *, scenes: int = EMBEDDED_SCENES, errors: bool = False
    ) -> None:
        r"""Write the study, by the extension.

        ``.html`` is the report with the images of so many scenes at most, ``.md`` its text,
        ``.tex`` the means for a paper (``\usepackage{booktabs}``; with ``errors`` beside their
        standard errors over scenes), ``.csv`` and ``.parquet`` (if pyarrow is installed) every
        value.

        Raises
        ------
        UsageError
            The extension is another, a folder is not there, or what it needs is not installed.
        """
        records = self.records()
        writers = {
            ".html": lambda: page(self.summary, scenes, ""),
            ".md": lambda: as_markdown(self.summary),
            ".tex": lambda: as_latex(self.summary, errors=errors),
            ".csv": lambda: as_csv(records),
        }
        write_by_suffix(path, writers, records)

    def plot(
        self, kind: str, metric: str, path: str | os.PathLike[str] | None = None, **options: Any
    ) -> Figure:
        """Draw a figure; written to a path, if there is one, as ``.svg``, ``.pdf`` or ``.png``.

        Parameters
        ----------
        kind
            ``trade-off``: the metric against a cost (``cost="nfe"``, ``"seconds"`` or
            ``"peak_mb"``). ``differences``: of every row from one (``reference``), scene by
            scene. ``effects``: of the axes, with intervals.
        metric
            What is drawn.
        path
            Where it is written.
        **options
            Of the kind.

        Raises
        ------
        UsageError
            There is no such kind, metric, row or cost, or the path cannot be written.
        """
        from .figures import draw

        return draw(self, kind, metric, path, **options)

    def __str__(self) -> str:
        return as_text(self.summary)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the means as a notebook shows them, the best of a column bold."""
        summary, best = self.summary, self.best()
        means = summary.scores.mean()
        heads = "".join(f"<th>{escape(measure.title)}</th>" for measure in summary.measures)
        rows = ""
        for place, row in enumerate(summary.rows):
            cells = ""
            for n, measure in enumerate(summary.measures):
                text = shown(float(means[place, n]))
                cells += f"<td>{f'<b>{text}</b>' if best[measure.name] == row.label else text}</td>"
            nfe = shown(float(summary.mean_costs()[place, 0]))
            rows += f"<tr><th>{escape(row.label)}</th>{cells}<td>{nfe}</td></tr>"
        notes = "".join(f"<p>{escape(text)}</p>" for text in warnings_of(summary))
        return (
            f"<table><caption>{escape(overview(summary))}</caption>"
            f"<thead><tr><th></th>{heads}<th>NFE</th></tr></thead><tbody>{rows}</tbody></table>"
            f"{notes}"
        )

    def place_of(self, metric: str) -> int:
        """Return the place of a metric; raise UsageError if there is none of this name."""
        names = self.metrics
        if metric not in names:
            hint = suggest(metric, names) or f" There are {', '.join(names)}."
            raise UsageError(f"the study has no metric {metric!r}.{hint}")
        return names.index(metric)

    def _places(self, metrics: Sequence[str] | None) -> list[int]:
        return [self.place_of(name) for name in (self.metrics if metrics is None else metrics)]

    def place_of_row(self, label: str | None) -> int:
        """Return the place of a row, of the reference for None; raise UsageError for no row."""
        if label is None:
            return self.summary.reference
        if label not in self.rows:
            hint = suggest(label, self.rows) or f" There are {', '.join(self.rows)}."
            raise UsageError(f"the study has no row {label!r}.{hint}")
        return self.rows.index(label)
