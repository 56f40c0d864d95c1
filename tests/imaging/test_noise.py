"""The noise of a source: as it is given, and as it is estimated."""

import numpy as np
import pytest
from skimage import data

from fusionkit.errors import UsageError
from fusionkit.imaging import LEAST_NOISE, estimated_noise, parse_noise, picture_from_array
from fusionkit.imaging.noise import source_noise


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


def test_what_is_not_named_is_estimated_or_has_none():
    assert parse_noise((), 2) == (0, 0)
    assert parse_noise(("2:10",), 3) == (0, 10, 0)
    assert parse_noise(("auto", "1:2.5"), 2) == (2.5, None)


@pytest.mark.parametrize("text", ["3:1", "0:1", "1", "1:x", "1:-2", "1:nan", "1:300", "a:3", "no"])
def test_other_texts_are_refused(text):
    with pytest.raises(UsageError, match="--noise"):
        parse_noise((text,), 2)


def test_a_source_has_one_level():
    with pytest.raises(UsageError, match="twice"):
        parse_noise(("1:2", "1:3"), 2)


def test_luma_of_independent_channels_has_less_noise():
    random = np.random.default_rng(0)
    rgb = np.clip(128 + 10 * random.standard_normal((256, 256, 3)), 0, 255).astype(np.uint8)
    picture = picture_from_array(rgb, "one")
    luma = np.stack([rgb @ [0.299, 0.587, 0.114] / 255] * 2)
    given, estimated = (
        source_noise([picture, picture], luma, (text, "2:0"))[0] for text in ("1:10", "auto")
    )
    share = np.sqrt(0.299**2 + 0.587**2 + 0.114**2)
    assert given.luma == pytest.approx(10 * share)
    assert estimated.luma == pytest.approx(10 * share, rel=0.1)
    assert estimated.channel == pytest.approx(10, rel=0.1)


def test_noise_that_nobody_asked_for_is_seen_but_stays():
    random = np.random.default_rng(0)
    grey = np.clip(128 + 20 * random.standard_normal((128, 128)), 0, 255).astype(np.uint8)
    picture = picture_from_array(grey, "one")
    quiet, asked = (source_noise([picture], grey[None] / 255, texts) for texts in ((), ("auto",)))
    assert quiet[0].luma == 0
    assert quiet[0].seen == pytest.approx(20, rel=0.1)
    assert not quiet[0].asked
    assert asked[0].luma == asked[0].seen
