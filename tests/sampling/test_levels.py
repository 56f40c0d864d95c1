"""Which noise levels a run visits, and whether it starts from noise."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from fusionkit import UsageError
from fusionkit.sampling.levels import SPACINGS, Schedule, choose_levels

LINEAR = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
TABLE = np.sqrt((1 - LINEAR) / LINEAR)
"""DDPM's levels, worked out here: ``TABLE[t - 1]`` is that of time t = 1 ... 1000."""


def within(first: float, last: float, count: int) -> list[float]:
    """What is even between two values, both included."""
    return [first] if count == 1 else [float(value) for value in np.linspace(first, last, count)]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("start", [157.0, 80.0, 6.135, 2.0309, 0.339, 0.0123])
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 77, 2000])
def test_any_number_of_steps_decreases_strictly_from_the_start(
    spacing: str, start: float, steps: int
) -> None:
    chosen = choose_levels(steps, start, spacing)
    assert len(chosen) == steps
    assert chosen[0] == pytest.approx(start, rel=1e-12)
    assert all(0 < b < a for a, b in pairwise(chosen))
    assert all(type(sigma) is float for sigma in chosen)
    assert Schedule.of(chosen).sigma == (*chosen, 0.0)


@pytest.mark.parametrize(("steps", "last"), [(10, 1000), (4, 1000), (5, 600), (3, 300), (300, 300)])
def test_ddpm_visits_the_levels_of_its_own_time_steps(steps: int, last: int) -> None:
    times = [last - last // steps * i for i in range(steps)]
    chosen = choose_levels(steps, TABLE[last - 1], "ddpm")
    assert chosen == pytest.approx([TABLE[t - 1] for t in times], rel=1e-9)


def test_ddpm_from_its_noisiest_level() -> None:
    chosen = choose_levels(10, 157.407)
    assert chosen[0] == pytest.approx(157.407, rel=1e-12)
    assert chosen == pytest.approx([TABLE[t - 1] for t in range(1000, 0, -100)], rel=1e-4)
    # What used to be said as a share of the time.
    for share, sigma in ((0.2, 0.719), (0.4, 2.0309), (0.6, 6.135), (0.8, 25.53)):
        assert TABLE[round(1000 * share) - 1] == pytest.approx(sigma, rel=1e-3)
        assert choose_levels(2, sigma)[1] == pytest.approx(TABLE[round(500 * share) - 1], rel=1e-3)


def test_ddpm_between_its_time_steps_is_geometric_and_below_them_even() -> None:
    half_way = math.sqrt(TABLE[9] * TABLE[10])  # time 10.5
    assert choose_levels(21, half_way)[1] == pytest.approx(TABLE[9], rel=1e-9)  # time 10
    assert choose_levels(2, half_way)[1] == pytest.approx(
        TABLE[4] ** 0.75 * TABLE[5] ** 0.25, rel=1e-9
    )
    assert choose_levels(4, TABLE[0]) == pytest.approx(within(TABLE[0], TABLE[0] / 4, 4), rel=1e-9)


@pytest.mark.parametrize("start", [157.0, 20.0, 0.5])
@pytest.mark.parametrize("steps", [1, 2, 9])
def test_log_sigma_is_geometric(start: float, steps: int) -> None:
    logs = [math.log(sigma) for sigma in choose_levels(steps, start, "log-sigma")]
    assert logs == pytest.approx(within(math.log(start), math.log(0.01), steps), abs=1e-12)


@pytest.mark.parametrize("start", [500.0, 80.0, 2.0])
@pytest.mark.parametrize("steps", [1, 2, 9])
def test_edm_is_even_in_the_seventh_root(start: float, steps: int) -> None:
    chosen = choose_levels(steps, start, "edm")
    roots = [sigma ** (1 / 7) for sigma in chosen]
    assert roots == pytest.approx(within(start ** (1 / 7), 0.01 ** (1 / 7), steps), rel=1e-12)


@pytest.mark.parametrize("steps", [1, 5])
def test_a_start_beyond_a_spacing_is_refused(steps: int) -> None:
    with pytest.raises(UsageError, match=r"--start-sigma 158 is more than DDPM.* has, 157\.4: "):
        choose_levels(steps, 158.0)
    with pytest.raises(UsageError, match="another --spacing"):
        choose_levels(steps, math.inf)
    for spacing in ("log-sigma", "edm"):
        for start in (0.01, 0.004):
            message = f"--start-sigma {start:g}: --spacing {spacing} ends at 0.01"
            with pytest.raises(UsageError, match=message):
                choose_levels(steps, start, spacing)
        with pytest.raises(UsageError):
            Schedule.of(choose_levels(steps, math.inf, spacing))


def test_levels_are_those_given_and_a_clean_one() -> None:
    schedule = Schedule.of([3, 1.5, 0.25])
    assert schedule.sigma == (3.0, 1.5, 0.25, 0.0)
    assert all(type(sigma) is float for sigma in schedule.sigma)
    assert schedule.steps == 3
    assert schedule.first.sigma == (3.0, 0.0)
    assert (schedule.first.steps, schedule.first.from_noise) == (1, False)


@pytest.mark.parametrize(
    "sigma",
    [
        (),
        (1.0, 1.0),
        (0.5, 1.0),
        (1.0, 0.0),
        (1.0, -0.5),
        (0.0,),
        (math.inf, 1.0),
        (math.nan,),
        (1.0, math.nan),
        (math.nan, 1.0),
    ],
)
def test_levels_decrease_strictly_and_are_above_clean(sigma: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="decrease strictly and are above 0") as caught:
        Schedule.of(sigma)
    assert ", ".join(f"{level:g}" for level in sigma) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("first", "init", "expected"),
    [
        (157.4, "auto", True),
        (14.6, "auto", True),
        (10.0, "auto", True),
        (9.99, "auto", False),  # an image is still seen in it
        (157.4, "fusion", False),
        (0.3, "noise", True),
        (157.4, "noise", True),
        (0.3, "fusion", False),
    ],
)
def test_a_run_starts_from_noise_where_nothing_else_is_seen_or_where_it_is_told(
    first: float, init: str, expected: bool
) -> None:
    schedule = Schedule.of((first, 0.1), init)
    assert schedule.from_noise is expected
    assert schedule.first.from_noise is expected
