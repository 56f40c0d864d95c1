"""Rows of a study against one of them: what is better, what is as good, what nobody can tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..contract.counting import number_of
from ..errors import UsageError
from .statistics import (
    FEW,
    LEVEL,
    Difference,
    criterion,
    effect_size,
    equivalence_test,
    holm,
    least_scenes,
    paired_bootstrap,
    randomisation_test,
    wilcoxon_test,
)


@dataclass(frozen=True)
class Tested:
    """A family of paired differences, each tested, and corrected for the number of all.

    Attributes
    ----------
    differences
        With intervals, and p-values of the randomisation test; None where there is no scene.
    wilcoxon, equivalence
        The p-values of the other two tests, corrected alike; the second NaN without a margin.
    effects
        Cohen's d_z.
    margins
        Of the equivalence tests, NaN where none is stated.
    """

    differences: list[Difference | None]
    wilcoxon: list[float]
    equivalence: list[float]
    effects: list[float]
    margins: list[float]

    @property
    def several(self) -> list[int]:
        """The places of those that are tested: over two scenes or more."""
        return [n for n, each in enumerate(self.differences) if each and each.scenes > 1]

    def fields(self, place: int, higher_is_better: bool | None) -> dict[str, object]:
        """Return the fields of a record on one of them; its verdict needs a direction."""
        each = self.differences[place]
        stated = not all(map(math.isnan, self.margins))
        alike = {"equivalence p": self.equivalence[place]} if stated else {}
        if each is None:
            names = ("difference", "low", "high", "p", "wilcoxon p", "effect size")
            return {**dict.fromkeys(names, math.nan), **alike, "scenes": 0, "verdict": "no scene"}
        several = each.scenes > 1
        return {
            "difference": each.mean,
            "low": each.low if several else math.nan,
            "high": each.high if several else math.nan,
            "p": each.p if several else math.nan,
            "wilcoxon p": self.wilcoxon[place],
            "effect size": self.effects[place],
            **alike,
            "scenes": each.scenes,
            "verdict": self._verdict(each, place, higher_is_better),
        }

    def _verdict(self, each: Difference, place: int, higher_is_better: bool | None) -> str:
        if self.equivalence[place] < LEVEL:
            return "equivalent"
        if not each.stands_out:
            return "undecided"
        if higher_is_better is None:
            return "differs"
        return "better" if (each.mean > 0) == higher_is_better else "worse"


def compared(pairs: NDArray[np.float64], margins: Sequence[float] | None = None) -> Tested:
    """Test a family of paired differences, (comparisons, scenes); NaN where there is none.

    ``margins`` are those of equivalence, one for each, NaN where none is stated.
    """
    stated = [math.nan] * len(pairs) if margins is None else list(margins)
    found = [paired_bootstrap(differences) for differences in pairs]
    several = [n for n, each in enumerate(found) if each is not None and each.scenes > 1]
    p = _corrected(dict(zip(several, randomisation_test(pairs[several]), strict=True)))
    ranks = _corrected({n: wilcoxon_test(pairs[n]) for n in several})
    alike = _corrected(
        {n: equivalence_test(pairs[n], stated[n]) for n in several if not math.isnan(stated[n])}
    )
    places = range(len(pairs))
    return Tested(
        [replace(each, p=p[n]) if each and n in p else each for n, each in enumerate(found)],
        [ranks.get(n, math.nan) for n in places],
        [alike.get(n, math.nan) for n in places],
        [effect_size(differences) for differences in pairs],
        stated,
    )


def _corrected(values: Mapping[int, float]) -> dict[int, float]:
    return dict(zip(values, holm([float(value) for value in values.values()]), strict=True))


def margins_of(
    margin: float | Mapping[str, float] | None, names: Sequence[str], of_reference: Sequence[float]
) -> list[float]:
    """Return the margin of equivalence of each metric, in its own units; NaN where none is stated.

    Parameters
    ----------
    margin
        By metric, in its units; or one number, the share of the reference's mean.
    names
        The metrics.
    of_reference
        The reference's mean by each.

    Raises
    ------
    UsageError
        A margin is not above 0, or of no metric that there is.
    """
    if isinstance(margin, Mapping):
        unknown = [name for name in margin if name not in names]
        if unknown:
            raise UsageError(f"margin: there is no metric {unknown[0]!r}: {', '.join(names)}")
        found = [float(margin.get(name, math.nan)) for name in names]
    else:
        share = math.nan if margin is None else float(margin)
        found = [share * abs(mean) for mean in of_reference]
        if margin is not None and not share > 0:
            raise UsageError(f"margin is a share above 0, such as 0.02, not {margin}")
    if isinstance(margin, Mapping) and not all(value > 0 for value in margin.values()):
        raise UsageError("a margin is a number above 0, in units of its metric")
    return found


def how_tested(family: Tested, what: str) -> list[str]:
    """Say how a family was tested, and what speaks against trusting it."""
    count = len(family.several)
    if not count:
        return ["Nothing is tested: no difference has two scenes."]
    fewest = min(family.differences[n].scenes for n in family.several)  # type: ignore[union-attr]
    said = [
        f"{what}: {criterion(count)}. Intervals: 95%, paired BCa bootstrap over scenes; seeds are "
        "averaged within scenes. Effect size: mean by standard deviation of the differences (d_z)."
    ]
    if not all(map(math.isnan, family.margins)):
        said.append(
            f"Equivalent: two one-sided t-tests (TOST) with p < {LEVEL:g}, corrected likewise."
        )
    odds = sum(
        (family.wilcoxon[n] < LEVEL) != family.differences[n].stands_out  # type: ignore[union-attr]
        for n in family.several
    )
    if odds:
        said.append(
            f"In {odds} of {count} Wilcoxon's signed-rank test says otherwise: look at the scenes."
        )
    return said + few_scenes(fewest, count)


def few_scenes(scenes: int, comparisons: int) -> list[str]:
    """Say, where it is so, that scenes are too few."""
    said = []
    if scenes < least_scenes(comparisons):
        said.append(
            f"Too few scenes: of {number_of(comparisons, 'comparison')} none can stand out with "
            f"{scenes}, it takes {least_scenes(comparisons)}."
        )
    if scenes < FEW:
        said.append(
            f"With fewer than {FEW} scenes ({scenes}) an interval is too short more often than "
            "its 95% say."
        )
    return said
