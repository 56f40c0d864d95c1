"""Which time steps a run visits, and their constants."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from fusionkit import UsageError
from fusionkit.sampling.levels import Schedule, check_timesteps, choose_timesteps

# A cosine-like schedule, worked out here so that it owes nothing to a plugin's.
T = 60
ALPHA_BAR = tuple(math.cos(0.5 * math.pi * (t + 0.5) / (T + 0.5)) ** 2 for t in range(T))
LOG_SIGMA = [0.5 * math.log((1 - value) / value) for value in ALPHA_BAR]


@pytest.mark.parametrize("spacing", ["time", "log-sigma"])
@pytest.mark.parametrize("start_at", [1.0, 0.999, 0.75, 0.5, 0.31, 0.05, 0.001])
def test_every_number_of_steps_decreases_strictly_from_the_start(
    spacing: str, start_at: float
) -> None:
    levels = max(1, round(start_at * T))
    for steps in range(1, levels + 1):
        chosen = choose_timesteps(ALPHA_BAR, steps, start_at, spacing)
        assert len(chosen) == steps
        assert chosen[0] == levels - 1
        assert chosen[-1] >= 0
        assert all(b < a for a, b in pairwise(chosen))
        assert all(type(t) is int for t in chosen)
    assert choose_timesteps(ALPHA_BAR, levels, start_at, spacing) == tuple(range(levels))[::-1]
    with pytest.raises(UsageError, match=rf"{levels + 1} is more than .* ask for at most {levels}"):
        choose_timesteps(ALPHA_BAR, levels + 1, start_at, spacing)


def test_time_spacing_is_even_and_ends_a_full_stride_above_clean() -> None:
    assert choose_timesteps(ALPHA_BAR, 6) == (59, 49, 39, 29, 19, 9)
    assert choose_timesteps(ALPHA_BAR, 3, 0.5) == (29, 19, 9)


@pytest.mark.parametrize("start_at", [1.0, 0.5])
def test_log_sigma_spacing_is_nearly_geometric_down_to_the_least_level(start_at: float) -> None:
    steps = 8
    chosen = choose_timesteps(ALPHA_BAR, steps, start_at, "log-sigma")
    assert chosen[-1] == 0
    high, low = LOG_SIGMA[round(start_at * T) - 1], LOG_SIGMA[0]
    for i, t in enumerate(chosen):
        wanted = high + (low - high) * i / (steps - 1)
        # Nearest of the levels there are, or within one where two steps want the same.
        gap = max(abs(LOG_SIGMA[u] - LOG_SIGMA[u - 1]) for u in range(max(1, t), min(T, t + 2)))
        assert abs(LOG_SIGMA[t] - wanted) <= 1.5 * gap
    by_time = choose_timesteps(ALPHA_BAR, steps, start_at)

    def unevenness(timesteps: tuple[int, ...]) -> float:
        gaps = [LOG_SIGMA[a] - LOG_SIGMA[b] for a, b in pairwise(timesteps)]
        return max(gaps) / min(gaps)

    assert unevenness(chosen) < unevenness(by_time)


def test_levels_are_those_of_the_time_steps_and_a_clean_one() -> None:
    schedule = Schedule.of(ALPHA_BAR, (50, 20, 3))
    assert schedule.timesteps == (50, 20, 3)
    assert (schedule.steps, schedule.total) == (3, T)
    assert len(schedule.a) == len(schedule.s) == len(schedule.sigma) == 4
    for i, t in enumerate(schedule.timesteps):
        assert schedule.a[i] == pytest.approx(math.sqrt(ALPHA_BAR[t]), abs=1e-15)
        assert schedule.a[i] ** 2 + schedule.s[i] ** 2 == pytest.approx(1, abs=1e-15)
        assert schedule.sigma[i] == pytest.approx(math.exp(LOG_SIGMA[t]), rel=1e-12)
    assert (schedule.a[-1], schedule.s[-1], schedule.sigma[-1]) == (1.0, 0.0, 0.0)


def test_a_subset_keeps_its_levels_and_the_clean_one() -> None:
    schedule = Schedule.of(ALPHA_BAR, (50, 40, 30, 20, 10))
    assert schedule.subset([0, 2, 3]) == Schedule.of(ALPHA_BAR, (50, 30, 20))
    assert schedule.subset(range(5)) == schedule


@pytest.mark.parametrize("keep", [[], [1, 1], [2, 1], [-1, 0], [0, 5]])
def test_a_subset_must_be_increasing_steps_of_the_run(keep: list[int]) -> None:
    with pytest.raises(ValueError, match="a plan keeps"):
        Schedule.of(ALPHA_BAR, (50, 40, 30, 20, 10)).subset(keep)


def test_time_steps_by_hand() -> None:
    assert check_timesteps([T - 1, 7, 0], T) == (T - 1, 7, 0)
    assert check_timesteps((5,), T) == (5,)


@pytest.mark.parametrize("timesteps", [(5, 5), (3, 5), (T, 5), (5, -1)])
def test_time_steps_by_hand_must_decrease_within_the_schedule(timesteps: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=f"from at most {T - 1} to at least 0") as caught:
        check_timesteps(timesteps, T)
    assert ", ".join(map(str, timesteps)) in str(caught.value)


@pytest.mark.parametrize(
    ("last", "first", "expected"),
    [
        (157.0, 0, True),
        (14.6, 0, True),
        (2.0, 0, False),  # the noisiest level there is, and an image is seen in it
        (157.0, 1, False),
    ],
)
def test_a_run_starts_from_noise_where_nothing_else_is_seen(
    last: float, first: int, expected: bool
) -> None:
    sigma = [0.01, 0.1, 1.5, last]
    schedule = Schedule.of([1 / (1 + s**2) for s in sigma], (3, 2, 0)[first:])
    assert schedule.from_noise is expected
