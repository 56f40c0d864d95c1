"""What is trained on: sources that are worse than a photograph in the way that is said."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
import torch
from fusionkit_objectives.gradients import Gradients
from fusionkit_training.learned.defocus import composed, depths, focus_stack
from fusionkit_training.learned.degradations import (
    CHOOSING,
    FAMILIES,
    compressed,
    contrast,
    degrade,
    exposure,
    misaligned,
    noise,
)
from fusionkit_training.learned.draw import Draw
from fusionkit_training.learned.evaluate import BASELINES, mean_of, oracle, weighted_psnr
from fusionkit_training.learned.fields import regions
from fusionkit_training.learned.filters import (
    cosines,
    disc_gain,
    gaussian_blur,
    gaussian_gain,
    gaussian_matrix,
)
from fusionkit_training.learned.losses import PSI, choice, fused, squared_error, training_loss
from fusionkit_training.learned.samples import assemble

from fusionkit import compose
from fusionkit.testing import make_run

PHOTO = torch.from_numpy(skimage.data.camera()[100:164, 180:244] / 255).float()


def batch_of(family: str, count: int = 6, K: int = 2):
    draw = Draw("test", family, K)
    pairs = [degrade(family, PHOTO, K, draw) for _ in range(count)]
    return assemble(pairs, [family] * count)


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
    assert family in ("focus", "flicker", "structure", "mixed") or torch.equal(fusion, PHOTO)
    off = (sources - fusion).abs().amax((1, 2))
    # Where one source is the best, one may be the answer all over, but not every one.
    assert (off.max() if family in CHOOSING else off.min()) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("family", ["contrast", "structure"])
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


def blurred(image: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    basis, _ = cosines(image.shape[-1])
    return basis.mT @ (gain * (basis @ image @ basis.mT)) @ basis


def test_a_disc_keeps_the_mean_and_spreads_a_point_evenly() -> None:
    point = torch.zeros(64, 64)
    point[30, 32] = 1
    spread = blurred(point, disc_gain(64, torch.tensor(8.0)))
    assert abs(float(spread.sum()) - 1) < 1e-4
    inside = spread > 0.5 * spread.max()
    assert abs(int(inside.sum()) - 64 * np.pi) < 12
    assert spread[~inside].abs().max() < 0.6 * spread.max()
    assert (blurred(PHOTO, disc_gain(64, torch.tensor(0.0))) - PHOTO).abs().max() < 1e-4


def test_gains_of_a_gaussian_are_those_of_its_matrix() -> None:
    gains = gaussian_gain(64, torch.tensor([0.0, 3.0]))
    assert (blurred(PHOTO, gains[1]) - gaussian_blur(PHOTO, 3.0)).abs().max() < 1e-5
    assert (blurred(PHOTO, gains[0]) - PHOTO).abs().max() < 1e-5


def test_a_source_is_sharp_where_its_layer_is_and_away_from_others() -> None:
    left = (torch.arange(64) >= 32).long().expand(64, 64)  # the right half is behind
    deviations = torch.tensor([[0.0, 2.0], [2.0, 0.0]])
    near, far = composed([PHOTO, PHOTO], left, deviations, (0.0, 1.0))
    soft = gaussian_blur(PHOTO, 2.0)
    assert (near - PHOTO)[:, :32].abs().max() < 1e-4
    assert (far - PHOTO)[:, 40:].abs().max() < 1e-3
    assert (near - soft)[:, 40:].abs().max() < 1e-4
    assert (far - soft)[:, :24].abs().max() < 1e-2


def test_a_blurred_foreground_spreads_and_a_blurred_background_does_not() -> None:
    layer = (torch.arange(64) >= 32).long().expand(64, 64)
    bright, dark = torch.ones(64, 64), torch.zeros(64, 64)
    deviations = torch.tensor([[0.0, 3.0], [3.0, 0.0]])
    near, far = composed([bright, dark], layer, deviations, (1.0, 0.0))
    assert near[:, :32].min() > 1 - 1e-4
    assert near[:, 32:].abs().max() < 1e-4
    assert far[:, 33].min() > 0.2
    assert far[:, 30].max() < 0.8


def test_at_times_all_is_in_one_layer() -> None:
    alone = sum(len(depths(PHOTO, 2, Draw(seed)).unique()) == 1 for seed in range(100))
    assert 3 <= alone <= 25


@pytest.mark.parametrize("K", [2, 5, 7])
def test_depths_are_layers(K: int) -> None:
    found = {int(layer) for seed in range(20) for layer in depths(PHOTO, K, Draw(seed)).unique()}
    assert found == set(range(K))


def test_stacks_show_every_layer_and_answers_are_in_no_source() -> None:
    kinds = set()
    for seed in range(20):
        sources, answer = focus_stack(PHOTO, 3, Draw(seed))
        kinds.add(torch.equal(answer, PHOTO))
        assert sources.shape == (3, 64, 64)
        assert 0 <= sources.min() <= sources.max() <= 1
    assert kinds == {True, False}


def test_misaligned_sources_differ_by_less_than_a_pixel() -> None:
    ramp = torch.linspace(0.1, 0.9, 64).expand(3, 64, 64)
    moved = misaligned(ramp, Draw(1))
    off = (moved - ramp)[:, 8:-8, 8:-8].abs().amax((1, 2)) / (0.8 / 63)
    assert (off > 1e-3).all()
    assert (off < 0.6).all()


def test_compression_leaves_its_blocks() -> None:
    fine, coarse = ((compressed(PHOTO, q) - PHOTO).square().mean() for q in (96, 70))
    assert 1e-7 < fine < coarse < 1e-2


def test_the_loss_is_least_for_the_right_answer() -> None:
    batch = batch_of("focus")
    assert squared_error(batch.fusion, batch).max() == 0
    equal = torch.zeros_like(batch.sources)
    errors = gaussian_blur((batch.sources - batch.fusion).square(), 2.0)
    best = 8.0 * (errors == errors.amin(0))
    assert (training_loss(best, batch) < training_loss(equal, batch)).all()
    assert (choice(best, batch) < choice(equal, batch)).all()


def test_what_is_compared_is_what_the_objective_of_the_recipe_makes() -> None:
    recipe = compose(task="multi-focus", device="cpu", precision="float64").as_recipe()["objective"]
    assert (recipe["base"], recipe["psi"], recipe["strength"]) == ("weights", PSI, 0.0)
    batch = batch_of("focus", K=3)
    sources = batch.sources.double()
    weights = torch.softmax(20 * sources, 0)
    objective = Gradients(0.0, PSI, "weights")
    expected = objective.start(make_run(sources, steps=1)).initial(weights)
    # The basis of the loss is in single precision.
    assert (fused(weights.float(), batch.sources) - expected).abs().max() < 1e-4


def test_brightness_that_is_a_matter_of_taste_does_not_count() -> None:
    focus, flicker = batch_of("focus"), batch_of("flicker")
    for batch, counts in ((focus, True), (flicker, False)):
        assert (squared_error(batch.fusion + 0.1, batch) > 1e-3).all() == counts
        texture = 0.1 * ((torch.arange(64) % 2) * 2.0 - 1)
        assert (squared_error(batch.fusion + texture, batch) > 9e-3).all()
