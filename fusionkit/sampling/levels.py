"""Noise levels: which ones a run visits, as sigma of x = x0 + sigma n, whatever the prior."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from ..contract.estimator import NoiseEstimator
from ..errors import PluginError, UsageError
from ..recipes.settings import Settings

PURE_NOISE = 10.0
"""The sigma from which images, of values in [-1, 1], are taken for noise: that of schedules which
are sampled from noise is more (14.6 for latent diffusion, 157 for DDPM)."""

LEAST = 0.01
"""The last level above clean of ``log-sigma`` and ``edm``: 1.3 of 255, DDPM's least."""

SPACINGS = ("ddpm", "log-sigma", "edm")


@dataclass(frozen=True)
class Schedule:
    """The levels i = 0 ... N of a run, as plain floats: the loop needs no device for them.

    Attributes
    ----------
    sigma
        (N + 1,): level i is x_i = x0 + sigma_i n; they decrease strictly, and the last is 0.
    from_noise
        Whether a trajectory starts from pure noise; otherwise from a noised initial fusion.
    """

    sigma: tuple[float, ...]
    from_noise: bool

    @classmethod
    def of(cls, sigma: Sequence[float], init: str = "auto") -> Schedule:
        """Take levels above clean; ``init`` is ``auto``, ``noise`` or ``fusion``.

        Raises
        ------
        UsageError
            They do not decrease strictly, or are not positive and finite.
        """
        ordered = all(b < a for a, b in pairwise(sigma))
        if not sigma or not ordered or sigma[-1] <= 0 or not math.isfinite(sigma[0]):
            listed = ", ".join(f"{level:g}" for level in sigma)
            raise UsageError(f"noise levels decrease strictly and are above 0, unlike {listed}")
        noisy = sigma[0] >= PURE_NOISE if init == "auto" else init == "noise"
        return cls((*(float(level) for level in sigma), 0.0), noisy)

    @property
    def steps(self) -> int:
        """N."""
        return len(self.sigma) - 1

    @property
    def first(self) -> Schedule:
        """The schedule of the first level alone."""
        return replace(self, sigma=(self.sigma[0], 0.0))


def most_known(estimator: NoiseEstimator, name: str) -> float:
    """Return the greatest level that a prior knows; raise PluginError if it says no range."""
    try:
        least, most = float(estimator.sigma_min), float(estimator.sigma_max)
    except (TypeError, ValueError) as error:
        raise PluginError(f"{name}: sigma_min and sigma_max: {error}") from error
    if not 0 <= least < most:
        raise PluginError(f"{name}: its levels run from sigma_min {least:g} to sigma_max {most:g}")
    return most


def check_start(start: float, most: float, name: str, said: str = "level") -> None:
    """Raise UsageError for a run that starts beyond the greatest level that a prior knows.

    ``said`` is what says where it starts.
    """
    if start > most * (1 + 1e-6):
        raise UsageError(
            f"{said} {start:g}: {name} knows levels up to {most:.4g}: start there, or below"
        )


def schedule_of(settings: Settings) -> Schedule:
    """Return the levels that settings choose, by hand or by a spacing.

    Raises
    ------
    UsageError
        As of :meth:`Schedule.of` and :func:`choose_levels`.
    """
    chosen = settings.sigmas or choose_levels(
        settings.steps, settings.start_sigma, settings.spacing
    )
    return Schedule.of(chosen, settings.init)


def choose_levels(steps: int, start: float, spacing: str = "ddpm") -> tuple[float, ...]:
    """Choose N levels, from ``start`` downwards.

    ``ddpm`` spaces them evenly in the time of DDPM's linear schedule (Ho et al., arXiv
    2006.11239), the last one a full stride above clean ("trailing": Lin et al., arXiv
    2305.08891). ``log-sigma`` spaces them geometrically, and ``edm`` evenly in sigma^(1/7)
    (Karras et al., arXiv 2206.00364, eq. 5), both down to :data:`LEAST`.

    Raises
    ------
    UsageError
        The start is beyond what the spacing knows.

    Examples
    --------
    >>> [round(sigma, 3) for sigma in choose_levels(3, 1.0, "log-sigma")]
    [1.0, 0.1, 0.01]
    """
    if spacing == "ddpm":
        table = _ddpm()
        if start > table[-1] * (1 + 1e-9):
            raise UsageError(
                f"--start-sigma {start:g} is more than DDPM's schedule has, {table[-1]:.4g}: "
                "choose less, or another --spacing"
            )
        first = _time_of(start)
        return tuple(_sigma_at(first * (1 - i / steps)) for i in range(steps))
    if start <= LEAST:
        raise UsageError(f"--start-sigma {start:g}: --spacing {spacing} ends at {LEAST:g}")
    power = 7.0
    shares = [i / (steps - 1) if steps > 1 else 0.0 for i in range(steps)]
    if spacing == "log-sigma":
        return tuple(start * (LEAST / start) ** share for share in shares)
    high, low = start ** (1 / power), LEAST ** (1 / power)
    return tuple((high + share * (low - high)) ** power for share in shares)


@lru_cache
def _ddpm() -> tuple[float, ...]:
    """Return sigma of the T = 1000 time steps of DDPM: beta from 1e-4 to 0.02, evenly."""
    alpha_bar, table = 1.0, []
    for t in range(1000):
        alpha_bar *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999)
        table.append(math.sqrt((1 - alpha_bar) / alpha_bar))
    return tuple(table)


def _time_of(sigma: float) -> float:
    """Return the time in (0, 1000] of a level; between time steps, by log sigma."""
    table = _ddpm()
    after = bisect_left(table, sigma)
    if after == 0:
        return sigma / table[0]
    if after == len(table):
        return float(len(table))
    low, high = table[after - 1], table[after]
    return after + math.log(sigma / low) / math.log(high / low)


def _sigma_at(time: float) -> float:
    """Return the level of a time in (0, 1000], the inverse of :func:`_time_of`."""
    table = _ddpm()
    before = math.floor(time)
    if before == 0:
        return time * table[0]
    share = time - before
    low = table[before - 1]
    return low if share == 0 else low * (table[before] / low) ** share
