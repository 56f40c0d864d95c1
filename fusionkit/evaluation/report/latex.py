"""The report as a table for a paper: LaTeX with booktabs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...contract.counting import number_of
from ..tables import number
from .summary import Measure, Summary
from .texts import one_line, role_title, seeds_words, test_words

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    **{sign: f"\\{sign}" for sign in "{}$&#_%"},
}
_ARROWS = {True: r" $\uparrow$", False: r" $\downarrow$", None: ""}


def as_latex(summary: Summary, errors: bool = False) -> str:
    r"""Return the means as a table: ``\usepackage{booktabs}`` and ``\input{report.tex}``.

    The best value of a column is bold, the second underlined, equal ones alike. Rows that are a
    source itself compete for neither, since no fusion was made. A dagger marks a difference from
    the reference that stands out. The caption states scenes, seeds and the test; the conventions
    of the metrics stand above it as comments. With ``errors``, the standard errors of means over
    scenes stand beside them.
    """
    measures, means = summary.measures, summary.scores.mean()
    spread = summary.scores.standard_errors() if errors else np.full(means.shape, np.nan)
    ranked = np.where(competing(summary), means, np.nan)
    columns = [
        _column(summary, n, measure, ranked[:, n], spread[:, n])
        for n, measure in enumerate(measures)
    ]
    nfe = [_plain(value) for value in summary.mean_costs()[:, 0]]
    titles = [escaped(measure.name) + _ARROWS[measure.higher_is_better] for measure in measures]
    lines = [
        r"% needs \usepackage{booktabs}",
        *(f"% {one_line(m.name)}: {one_line(m.convention)}" for m in measures if m.convention),
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{caption(summary, errors)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(measures)}r}}",
        r"\toprule",
        " & ".join(["", *titles, "NFE"]) + r" \\",
    ]
    before = ""
    for place, row in enumerate(summary.rows):
        if row.role != before:
            lines += [r"\midrule", *_heading(row.role, before, len(measures))]
            before = row.role
        cells = [escaped(row.label), *(column[place] for column in columns), nfe[place]]
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def competing(summary: Summary) -> NDArray[np.bool_]:
    """Return which rows compete for the best value: all but sources by themselves, (rows, 1)."""
    return np.array([[not row.label.startswith("source ")] for row in summary.rows])


def caption(summary: Summary, errors: bool = False) -> str:
    """Say what the numbers are: of how many scenes and seeds, marked how, tested how."""
    spread = " with standard errors" if errors else ""
    words = [f"Means{spread} over {number_of(len(summary.scenes), 'scene')}"]
    words[0] += f"{seeds_words(summary)}."
    if summary.missing:
        words.append(f"{summary.missing} of {summary.cells} cells are missing.")
    if len(summary.rows) > 1:
        words.append("Best in bold, second underlined; sources themselves are not ranked.")
    tested = test_words(summary, f"differs from {summary.study.reference}")
    return escaped(" ".join(words)) + (rf" $^\dagger$ {escaped(tested)}" if tested else "")


def escaped(text: str) -> str:
    """Return text that LaTeX shows as it is."""
    return "".join(_SPECIAL.get(sign, sign) for sign in one_line(text))


def _column(
    summary: Summary,
    n: int,
    measure: Measure,
    ranked: NDArray[np.float64],
    errors: NDArray[np.float64],
) -> list[str]:
    """Return the cells of a metric."""
    texts = [number(value) for value in summary.scores.mean()[:, n]]
    best = _best(ranked, texts, measure.higher_is_better)
    cells = []
    for place, text in enumerate(texts):
        cell = text.replace("-", "$-$") if text != "-" else "--"
        if text in best and not math.isnan(ranked[place]):
            cell = (rf"\textbf{{{cell}}}", rf"\underline{{{cell}}}")[best.index(text)]
        difference = summary.differences[place][n]
        stands_out = difference is not None and difference.stands_out
        error = "" if math.isnan(errors[place]) else rf" {{\scriptsize $\pm$ {errors[place]:.3f}}}"
        cells.append(cell + (r"$^\dagger$" if stands_out else "") + error)
    return cells


def _best(
    ranked: NDArray[np.float64], texts: Sequence[str], higher_is_better: bool | None
) -> list[str]:
    """Return the best value as it is written, and the second; a tie is told as it is read."""
    if higher_is_better is None:
        return []
    order = np.argsort(-ranked if higher_is_better else ranked)
    shown = [texts[place] for place in order if not math.isnan(ranked[place])]
    return list(dict.fromkeys(shown))[:2] if len(shown) > 1 else []


def _heading(role: str, before: str, measures: int) -> list[str]:
    if role == "variant" and not before:
        return []
    title = escaped(role_title(role))
    return [rf"\multicolumn{{{measures + 2}}}{{l}}{{\emph{{{title}}}}} \\"]


def _plain(value: float) -> str:
    return "--" if math.isnan(value) else f"{value:.4g}"
