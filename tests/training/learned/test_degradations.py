"""What is trained on: sources that are worse than a photograph in the way that is said."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import torch
from fusionkit_training.learned.degradations import (
    CHOOSING,
    FAMILIES,
    contrast,
    degrade,
    exposure,
    noise,
    regions,
)
from fusionkit_training.learned.draw import Draw
from fusionkit_training.learned.evaluate import BASELINES, mean_of, oracle, weighted_psnr
from fusionkit_training.learned.filters import disc_blur, gaussian_blur, gaussian_matrix
from fusionkit_training.learned.losses import choice, distance, training_loss
from fusionkit_training.learned.samples import assemble, draw_levels

PHOTO = torch.from_numpy(skimage.data.camera()[100:164, 180:244] / 255).float()


def batch_of(family: str, sigma: float = 0.05, count: int = 6, K: int = 2):
    draw = Draw("test", family, K)
    pairs = [degrade(family, PHOTO, K, draw) for _ in range(count)]
    return assemble(pairs, [family] * count, torch.full((count,), sigma), draw)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("K", [2, 3, 4])
def test_every_family_is_a_function_of_its_seed(family: str, K: int) -> None:
    before = PHOTO.clone()
    (sources, fusion), again, other = (
        degrade(family, PHOTO, K, Draw(seed, family)) for seed in (1, 1, 2)
    )
    assert sources.shape == (K, 64, 64)
    assert fusion.shape == (64, 64)
    for images in (sources, fusion):
        assert images.min() >= 0
        assert images.max() <= 1
    assert torch.equal(sources, again[0])
    assert not torch.equal(sources, other[0])
    assert torch.equal(PHOTO, before)
    assert family in ("structure", "mixed") or torch.equal(fusion, PHOTO)
    off = (sources - fusion).abs().amax((1, 2))
    # Where one source is the best, one may be the answer all over, but not every one.
    assert (off.max() if family in CHOOSING else off.min()) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("family", CHOOSING)
@pytest.mark.parametrize("K", [2, 3])
def test_at_times_one_source_is_the_answer_all_over(family: str, K: int) -> None:
    answers = []
    for seed in range(60):
        sources, fusion = degrade(family, PHOTO, K, Draw(seed, family))
        # Rounding to 8 bits is no degradation.
        answers.append(int(((sources - fusion).abs().amax((1, 2)) < 1 / 255).sum()))
    assert 2 <= answers.count(1) <= 15
    assert answers.count(0) >= 40
    assert answers.count(K) <= 1


@pytest.mark.parametrize("family", ["focus", "contrast", "structure"])
def test_the_answer_is_in_the_sources_but_not_in_their_mean(family: str) -> None:
    batch = batch_of(family)
    assert weighted_psnr(oracle(batch), batch) > weighted_psnr(mean_of(batch), batch) + 5
    regional = weighted_psnr(BASELINES["regions"](batch), batch)
    assert (
        weighted_psnr(mean_of(batch), batch) + 2 < regional <= weighted_psnr(oracle(batch), batch)
    )


def test_brackets_have_an_under_and_an_over_exposure() -> None:
    for seed in range(5):
        (under, over, between), _ = exposure(PHOTO, 3, Draw(seed))
        assert under.mean() < PHOTO.mean() < over.mean()
        light = between.double().clamp(1e-3, 0.99).log2().mean() - PHOTO.double().log2().mean()
        assert abs(2.2 * light) < 1.2  # stops
        assert (over * 255 - (over * 255).round()).abs().max() < 1e-4


def test_noise_is_as_strong_as_is_said() -> None:
    for seed in range(5):
        sources, _ = noise(PHOTO, 4, Draw(seed))
        assert 0 < (sources - PHOTO).std((1, 2)).max() < 42 / 255


def test_at_every_pixel_one_source_has_all_the_contrast() -> None:
    for seed in range(5):
        sources, _ = contrast(PHOTO, 3, Draw(seed))
        assert (sources - PHOTO).abs().amin(0).max() < 1e-5


def test_regions_are_a_partition() -> None:
    for seed in range(5):
        parts = regions(3, 64, Draw(seed))
        assert torch.equal(parts.sum(0), torch.ones(64, 64))
        assert parts.unique().tolist() == [0, 1]


@pytest.mark.parametrize("deviation", [0.0, 0.5, 2.0, 9.0])
def test_the_gaussian_blur_is_that_of_scipy(deviation: float) -> None:
    expected = scipy.ndimage.gaussian_filter(
        PHOTO.double().numpy(), deviation, mode="reflect", truncate=8
    )
    # A Gaussian sampled at whole pixels is none where it is narrow.
    tolerance = 3e-2 if deviation == 0.5 else 1e-5
    assert np.abs(gaussian_blur(PHOTO, deviation).numpy() - expected).max() < tolerance
    matrix = gaussian_matrix(64, torch.tensor([deviation, 1.0]))
    assert matrix.shape == (2, 64, 64)
    assert (matrix.sum(-1) - 1).abs().max() < 1e-5
    if deviation == 0:
        assert (matrix[0] - torch.eye(64)).abs().max() < 1e-5


def test_a_disc_keeps_the_mean_and_spreads_a_point_evenly() -> None:
    point = torch.zeros(1, 41, 41)
    point[0, 20, 20] = 1
    spread = disc_blur(point, 5.0)[0]
    assert abs(float(spread.sum()) - 1) < 1e-5
    inside = spread[spread > 0.5 * spread.max()]
    assert abs(len(inside) - 25 * np.pi) < 12
    assert torch.equal(disc_blur(point, 0.0), point)


def test_levels_are_spread_over_all_that_a_sampler_visits() -> None:
    sigma = draw_levels(400, Draw(1))
    assert 0.01 <= sigma.min() < 0.011
    assert 140 < sigma.max() <= 157.1
    assert abs(float((sigma < 1.2).float().mean()) - 0.65) < 0.01


@pytest.mark.parametrize("sigma", [0.02, 0.5])
def test_the_loss_is_least_for_the_right_answer(sigma: float) -> None:
    batch = batch_of("focus", sigma)
    assert distance(batch.fusion, batch).max() == 0
    equal = torch.zeros_like(batch.sources)
    best = gaussian_blur((batch.sources - batch.fusion).square(), 2.0)
    best = -50 * best / best.mean()
    assert (training_loss(best, batch) < training_loss(equal, batch)).all()
    assert (choice(best, batch) < choice(equal, batch)).all()


def test_at_strong_noise_only_what_is_coarse_counts() -> None:
    fine = batch_of("focus", 0.02)
    coarse = batch_of("focus", 40.0)
    texture = (torch.arange(64) % 2).float().expand(1, 1, 64, 64) - 0.5
    assert (distance(fine.fusion + texture, fine) > 1).all()
    assert (distance(coarse.fusion + texture, coarse) < 0.03).all()
    brightness = torch.full_like(texture, 0.5)
    assert (distance(coarse.fusion + brightness, coarse) > 0.5).all()


def test_the_clean_estimate_is_blurred_and_rarely_right() -> None:
    fine, coarse = batch_of("structure", 0.02, 12), batch_of("structure", 20.0, 12)
    assert coarse.x0.diff().abs().mean() < 0.2 * fine.x0.diff().abs().mean()
    off = (fine.x0 - fine.fusion).abs().mean((1, 2, 3))
    assert (off > 0.01).float().mean() > 0.7
