"""What paired differences over scenes show: an interval for one, a test for a table of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ..contract.counting import number_of

RESAMPLES = 10_000
"""Of the bootstrap."""

SIGNS = 2**16
"""Patterns of signs that are tried, where there are more than can all be."""

FEW = 10
"""Scenes below which a bootstrap interval holds the mean less often than it says."""

LEVEL = 0.05
"""The chance of one false statement or more in a table in which nothing differs."""


@dataclass(frozen=True)
class Difference:
    """A mean difference from the baseline over the scenes of both, and its 95% interval.

    ``p`` is the p-value, corrected for the number of comparisons in the table; 1 for a
    difference that stands in none.
    """

    mean: float
    low: float
    high: float
    scenes: int
    p: float = 1.0

    @property
    def clear(self) -> bool:
        """Whether the interval excludes zero; one scene has no interval."""
        return self.scenes > 1 and (self.low > 0 or self.high < 0)

    @property
    def stands_out(self) -> bool:
        """Whether that holds in its table too: p is below :data:`LEVEL` after correction."""
        return self.clear and self.p < LEVEL

    def __neg__(self) -> Difference:
        return Difference(-self.mean, -self.high, -self.low, self.scenes, self.p)


def paired_bootstrap(differences: NDArray[np.float64], seed: int = 0) -> Difference | None:
    """Return the mean of paired differences with its 95% BCa interval (Efron 1987).

    Bias-corrected and accelerated: the percentiles of the bootstrap are moved by the bias and by
    the skewness that the sample shows. The order of the differences does not matter. What is not
    finite, as of a scene that one of the two lacks, is left out.
    """
    kept = np.sort(differences[np.isfinite(differences)])
    if not len(kept):
        return None
    mean = float(kept.mean())
    if kept[0] == kept[-1]:
        return Difference(mean, mean, mean, len(kept))
    resampled = _resampling(len(kept), seed) @ kept
    low, high = np.quantile(resampled, _bca_shares(kept, resampled))
    return Difference(mean, float(low), float(high), len(kept))


def _bca_shares(sample: NDArray[np.float64], resampled: NDArray[np.float64]) -> list[float]:
    """Return the shares of the resampled means that lie below the two ends of the interval."""
    mean, normal = sample.mean(), NormalDist()
    below = ((resampled < mean).mean() + (resampled <= mean).mean()) / 2
    # With a resampling all on one side there is no bias to be told.
    bias = normal.inv_cdf(below) if 0 < below < 1 else 0.0
    away = sample - mean
    skew = float((away**3).sum() / (6 * (away**2).sum() ** 1.5))
    shares = []
    for tail in (0.025, 0.975):
        z = bias + normal.inv_cdf(tail)
        shares.append(normal.cdf(bias + z / (1 - skew * z)))
    return shares


def effect_size(differences: NDArray[np.float64]) -> float:
    """Return the mean of paired differences in units of their standard deviation (Cohen's d_z).

    NaN for one difference; infinite where all are the same, and not zero.
    """
    kept = differences[np.isfinite(differences)]
    if len(kept) < 2:
        return math.nan
    mean, spread = float(kept.mean()), float(kept.std(ddof=1))
    if spread <= 1e-12 * abs(mean):
        return math.copysign(math.inf, mean) if mean else 0.0
    return mean / spread


def wilcoxon_test(differences: NDArray[np.float64]) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test (1945), zeros as Pratt has them.

    It looks at ranks, so that one scene far from the others cannot decide. 1 where there is no
    difference at all.
    """
    from scipy.stats import wilcoxon  # takes a while to import

    kept = differences[np.isfinite(differences)]
    if not kept.any():
        return 1.0
    return float(wilcoxon(kept, zero_method="pratt").pvalue)


def equivalence_test(differences: NDArray[np.float64], margin: float) -> float:
    """Return the p-value of the two one-sided t-tests for equivalence (Schuirmann 1987).

    Small where the mean is shown to lie within ``-margin`` and ``margin``: that is a statement by
    itself, and not the absence of another.
    """
    from scipy.special import stdtr

    kept = differences[np.isfinite(differences)]
    if len(kept) < 2:
        return 1.0
    mean, error = float(kept.mean()), float(kept.std(ddof=1)) / math.sqrt(len(kept))
    nearest = margin - abs(mean)  # of the two tests, the one that is nearer to its margin
    if error == 0:
        return 0.0 if nearest > 0 else 1.0
    return float(stdtr(len(kept) - 1, -nearest / error))


def randomisation_test(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the two-sided p-value of each mean paired difference (Fisher 1935).

    The share of patterns of signs, of all 2^n or of :data:`SIGNS` random ones, with which the
    mean is as far from zero: without an effect, each scene's difference could as well have had
    the other sign.

    Parameters
    ----------
    differences
        (comparisons, scenes); not finite where there is none.

    Returns
    -------
    array of float64, (comparisons,)
        1 where there is no difference at all.
    """
    values = np.where(np.isfinite(differences), differences, 0.0)  # adds nothing with any sign
    values = np.sort(values, axis=1)  # or random signs would make the order of scenes matter
    scenes = values.shape[1]
    observed = np.abs(values.sum(1)) * (1 - 1e-12)  # sums round by the order of their terms
    exact = 2 ** (scenes - 1) <= SIGNS
    extreme, tried = np.zeros(len(values)), 0
    for signs in _all_signs(scenes) if exact else _random_signs(scenes):
        extreme += (np.abs(values @ signs) >= observed[:, None]).sum(1)
        tried += signs.shape[1]
    return extreme / tried if exact else (extreme + 1) / (tried + 1)


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, so that they can be read one by one (Holm 1979).

    The smallest of m is multiplied by m, the next by m - 1, and none falls below one before it.
    """
    corrected, running = [1.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda n: values[n])):
        running = max(running, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = running
    return corrected


def criterion(comparisons: int) -> str:
    """Say when a difference among so many stands out."""
    return (
        f"p < {LEVEL:g} by a paired randomisation test over scenes, corrected for "
        f"{number_of(comparisons, 'comparison')} (Holm), which takes "
        f"{number_of(least_scenes(comparisons), 'scene')} or more"
    )


def least_scenes(comparisons: int) -> int:
    """Return the fewest scenes with which one of so many comparisons can stand out.

    With n scenes, the least p-value that there can be is 2^(1 - n): all differences of one sign.
    """
    return max(2, math.ceil(1 + math.log2(max(1, comparisons) / LEVEL)))


@lru_cache(maxsize=8)
def _resampling(count: int, seed: int) -> NDArray[np.float64]:
    """Return the weights, (RESAMPLES, count), with which a resampled mean takes each value."""
    drawn = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    rows = np.arange(RESAMPLES)[:, None] * count
    times = np.bincount((rows + drawn).ravel(), minlength=RESAMPLES * count)
    return times.reshape(RESAMPLES, count) / count


def _all_signs(scenes: int) -> list[NDArray[np.float64]]:
    """Return all patterns whose first sign is +, (scenes, patterns): the others mirror them."""
    patterns = np.array(list(itertools.product((1.0, -1.0), repeat=scenes - 1)))
    patterns = patterns.reshape(2 ** (scenes - 1), scenes - 1)
    whole = np.hstack([np.ones((len(patterns), 1)), patterns]).T
    return np.array_split(whole, -(-whole.shape[1] // 4096), axis=1)


def _random_signs(scenes: int) -> list[NDArray[np.float64]]:
    generator = np.random.default_rng(0)
    return [generator.choice((-1.0, 1.0), (scenes, 4096)) for _ in range(SIGNS // 4096)]
