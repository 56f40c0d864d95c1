"""Noise levels, their weights, learning rates and crop sizes over a plan."""

from __future__ import annotations

import math

import pytest
import torch
from fusionkit_diffusion.schedules import linear_alpha_bar
from fusionkit_training.compact.plan import (
    BINS,
    FAR,
    LEVELS,
    TAIL,
    LevelWeights,
    Plan,
    draw_levels,
)
from fusionkit_training.state import generator_for


def test_every_batch_has_one_level_from_each_share() -> None:
    low, middle, high = LEVELS
    sigma = draw_levels(20, generator_for(0, 0)).sort().values
    u = torch.where(
        sigma < middle,
        (1 - TAIL) * (sigma / low).log() / math.log(middle / low),
        1 - TAIL + TAIL * (sigma / middle).log() / math.log(high / middle),
    )
    assert torch.equal((u * 20).floor(), torch.arange(20.0))
    assert low <= float(sigma.min()) < float(sigma.max()) <= high


def test_levels_are_not_in_order_and_a_function_of_the_step() -> None:
    once = draw_levels(20, generator_for(3, 7))
    assert torch.equal(once, draw_levels(20, generator_for(3, 7)))
    assert not torch.equal(once, once.sort().values)
    for other in (generator_for(3, 8), generator_for(4, 7)):
        assert not torch.equal(once, draw_levels(20, other))


def test_the_levels_cover_the_schedule_of_the_estimator() -> None:
    alpha_bar = linear_alpha_bar()
    sigma = ((1 - alpha_bar) / alpha_bar).sqrt()
    assert LEVELS[0] <= float(sigma[0]) < 1.001 * LEVELS[0]
    assert 0.99 * LEVELS[2] < float(sigma[-1]) < 1.01 * LEVELS[2]


def test_levels_come_to_count_alike() -> None:
    weigh = LevelWeights()
    sigma = torch.tensor([0.01, 0.2, 157.0])
    losses = torch.tensor([1.0, 0.05, 0.5])
    assert torch.equal(weigh(sigma, losses), torch.ones(3))  # before anything is known
    for _ in range(1500):
        weights = weigh(sigma, losses)
    assert (weights * losses - 1).abs().max() < 1e-3
    assert int((weigh.mean == 1).sum()) == BINS - 2  # bins never seen are left alone


def test_crops_grow_and_batches_keep_their_pixels() -> None:
    plan = Plan(1, batch=32)
    assert [plan.crops(p, 16) for p in (0, 0.59, 0.6, 0.84, 0.85, 1, 1.2)] == [
        (32, 64), (32, 64), (14, 96), (14, 96), (8, 128), (8, 128), (8, 128)
    ]  # fmt: skip
    assert plan.largest(16) == 128
    assert Plan(1, crop=20).crops(0.7, 16)[1] == 32  # always a multiple
    assert Plan(1, crop=3, batch=1).crops(0.9, 16) == (1, 16)


def test_an_outlier_counts_little_and_does_not_change_what_is_usual() -> None:
    weigh = LevelWeights()
    sigma = torch.full((16,), 0.1)
    for _ in range(60):
        weigh(sigma, torch.full((16,), 0.2))
    losses = torch.full((16,), 0.2)
    losses[3] = 1e6
    before = weigh.mean.clone()
    weights = weigh(sigma, losses)
    assert weights[3] * losses[3] == pytest.approx(FAR, rel=1e-3)
    assert (weights * losses)[0] == pytest.approx(1, rel=1e-2)
    assert (weigh.mean - before).abs().max() < 0.01
