"""The noise of a source: as it is given, and as it is estimated."""

import numpy as np
import pytest
from scipy.signal import convolve2d
from skimage import data

from fusionkit.imaging import LEAST_NOISE, estimated_noise, picture_from_array, seen_noise


@pytest.fixture(scope="module")
def photograph():
    return data.camera()[:256, :256] / 255


def with_noise(unit, sigma, seed=0):
    random = np.random.default_rng(seed)
    return np.clip(unit + sigma / 255 * random.standard_normal(unit.shape), 0, 1)


@pytest.mark.parametrize("sigma", [5, 10, 25])
def test_the_noise_of_a_photograph_is_found_within_a_tenth(photograph, sigma):
    assert estimated_noise(with_noise(photograph, sigma)) == pytest.approx(sigma, rel=0.1)


def test_a_photograph_without_noise_counts_as_such(photograph):
    for clean in (photograph, data.astronaut() / 255, data.coins() / 255):
        assert estimated_noise(clean) < LEAST_NOISE


def test_white_noise_alone_is_measured_without_bias():
    found = [estimated_noise(with_noise(np.full((300, 300), 0.5), 10, seed)) for seed in range(8)]
    assert np.mean(found) == pytest.approx(10, rel=0.03)


def test_channels_are_measured_apart_and_averaged():
    sigmas = np.array([4, 8, 12])
    noise = np.random.default_rng(0).standard_normal((400, 400, 3)) * sigmas / 255
    expected = np.sqrt((sigmas**2).mean())
    assert estimated_noise(0.5 + noise) == pytest.approx(expected, rel=0.05)


def test_black_ground_and_clipped_light_say_nothing_of_noise(photograph):
    noisy = with_noise(photograph, 12)
    noisy[:, :160] = 0
    noisy[:64] = 1
    assert estimated_noise(noisy) == pytest.approx(12, rel=0.15)
    assert estimated_noise(np.zeros((64, 64))) == 0


@pytest.mark.parametrize("size", [(2, 2), (3, 3), (5, 40), (33, 31)])
def test_any_size_has_an_estimate(size):
    assert estimated_noise(np.full(size, 0.5)) == 0


def test_large_images_are_measured_in_part(photograph):
    large = np.tile(with_noise(photograph, 10), (8, 8))
    assert estimated_noise(large) == pytest.approx(10, rel=0.1)


def test_what_may_be_texture_counts_for_nothing():
    random = np.random.default_rng(0)
    for sigma, expected in ((20, 20), (3, 0)):
        grey = np.clip(128 + sigma * random.standard_normal((128, 128)), 0, 255).astype(np.uint8)
        seen = seen_noise(picture_from_array(grey, "one"), grey / 255)
        assert seen == pytest.approx(expected, rel=0.1)


def test_what_a_source_does_not_show_has_no_noise():
    random = np.random.default_rng(0)
    grey = np.clip(128 + 20 * random.standard_normal((128, 128)), 0, 255).astype(np.uint8)
    shown = np.ones(grey.shape, bool)
    shown[:, :96] = False
    grey[:, 96:] = 128
    picture = picture_from_array(grey, "one")
    assert seen_noise(picture, grey / 255) > 10
    assert seen_noise(picture, grey / 255, shown) == 0


@pytest.mark.parametrize("shape", [(97, 131), (97, 131, 3)])
def test_the_estimate_is_what_its_formula_says(photograph, shape):
    """The 5% quantile of blocks of 32 x 32, of both second differences, by scipy in float64."""
    noisy = with_noise(np.resize(photograph, shape), 12)
    noisy[:40, :40] = 1.0
    variances = []
    for channel in np.moveaxis(np.atleast_3d(noisy), -1, 0):
        kernel = np.outer([1, -2, 1], [1, -2, 1]) / 6
        rough = convolve2d(channel, kernel, mode="valid") ** 2
        inside = channel[1:-1, 1:-1]
        blocks = [
            rough[top : top + 32, left : left + 32].mean()
            for top in range(0, 95 - 31, 32)
            for left in range(0, 129 - 31, 32)
            if np.isin(inside[top : top + 32, left : left + 32], (0, 1)).mean() < 0.05
        ]
        variances.append(np.quantile(blocks, 0.05) / 0.93**2)
    expected = 255 * np.sqrt(np.mean(variances))
    assert estimated_noise(noisy) == pytest.approx(expected, rel=1e-9)
    assert estimated_noise(noisy.astype(np.float32)) == pytest.approx(expected, rel=1e-5)
