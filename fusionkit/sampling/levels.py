"""Noise levels: which of an estimator's time steps a run visits, and their constants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..errors import UsageError

PURE_NOISE = 10.0
"""The sigma from which images, of values in [-1, 1], are taken for noise: that of schedules which
are sampled from noise is more (14.6 for latent diffusion, 157 for DDPM)."""


@dataclass(frozen=True)
class Schedule:
    """The levels i = 0 ... N of a run, as plain floats: the loop needs no device for them.

    Attributes
    ----------
    timesteps
        (N,) indices into the estimator's ``alpha_bar``, decreasing.
    a, s, sigma
        (N + 1,): x_i = a x0 + s eps, sigma = s / a; the last are 1, 0, 0.
    total
        T, the length of the estimator's schedule.
    """

    timesteps: tuple[int, ...]
    a: tuple[float, ...]
    s: tuple[float, ...]
    sigma: tuple[float, ...]
    total: int

    @classmethod
    def of(cls, alpha_bar: Sequence[float], timesteps: Sequence[int]) -> Schedule:
        """Take the levels at the given time steps, and the clean level after them."""
        a = (*(math.sqrt(alpha_bar[t]) for t in timesteps), 1.0)
        s = (*(math.sqrt(1.0 - alpha_bar[t]) for t in timesteps), 0.0)
        sigma = tuple(high / low for high, low in zip(s, a, strict=True))
        return cls(tuple(timesteps), a, s, sigma, len(alpha_bar))

    @property
    def steps(self) -> int:
        """N."""
        return len(self.timesteps)

    @property
    def from_noise(self) -> bool:
        """Whether an image at level 0 is indistinguishable from pure noise, so that one starts so.

        Only at an estimator's noisiest level, and only if that is noisy enough.
        """
        return self.timesteps[0] == self.total - 1 and self.sigma[0] >= PURE_NOISE

    def subset(self, keep: Sequence[int]) -> Schedule:
        """Keep only some of the steps (increasing indices); the clean level stays last."""
        if not keep or any(b <= a for a, b in pairwise(keep)):
            raise ValueError("a plan keeps at least one step, in increasing order")
        if keep[0] < 0 or keep[-1] >= self.steps:
            raise ValueError(f"a plan keeps steps from 0 to {self.steps - 1}")
        levels = [*keep, self.steps]
        return Schedule(
            tuple(self.timesteps[i] for i in keep),
            tuple(self.a[i] for i in levels),
            tuple(self.s[i] for i in levels),
            tuple(self.sigma[i] for i in levels),
            self.total,
        )


def choose_timesteps(
    alpha_bar: Sequence[float], steps: int, start_at: float = 1.0, spacing: str = "time"
) -> tuple[int, ...]:
    """Choose N time steps, from ``start_at * T`` downwards.

    ``time`` spaces them evenly in t, the last one a full stride above clean
    ("trailing": Lin et al., arXiv 2305.08891, so that the first is as noisy as
    the prior knows). ``log-sigma`` spaces the noise levels geometrically, down to
    the least one of the schedule.

    Raises
    ------
    UsageError
        The schedule has fewer than N levels below the start.
    """
    total = len(alpha_bar)
    first = max(1, round(start_at * total))
    if steps > first:
        raise UsageError(
            f"--steps {steps} is more than the {first} levels that the estimator has from "
            f"--start-at {start_at:g}; ask for at most {first}"
        )
    if spacing == "time":
        chosen = [round(first * (1 - i / steps)) - 1 for i in range(steps)]
        return tuple(chosen)
    log_sigma = [0.5 * math.log((1 - value) / value) for value in alpha_bar]
    high, low = log_sigma[first - 1], log_sigma[0]
    chosen = []
    for i in range(steps):
        wanted = high + (low - high) * (i / (steps - 1) if steps > 1 else 0.0)
        nearest = min(range(total), key=lambda t: abs(log_sigma[t] - wanted))
        ceiling = chosen[-1] - 1 if chosen else first - 1
        chosen.append(max(min(nearest, ceiling), steps - 1 - i))
    return tuple(chosen)


def check_timesteps(timesteps: Sequence[int], total: int) -> tuple[int, ...]:
    """Validate time steps given by hand: strictly decreasing, within the schedule."""
    ordered = all(b < a for a, b in pairwise(timesteps))
    if not ordered or timesteps[0] >= total or timesteps[-1] < 0:
        raise UsageError(
            f"timesteps must decrease strictly, from at most {total - 1} to at least 0, "
            f"not {', '.join(map(str, timesteps))}"
        )
    return tuple(timesteps)
