"""Sources with noise of their own: what is left of it, and what it costs."""

import numpy as np
import pytest
import torch
from fusionkit_preparations.noise import NoiseOff, clean_sources
from skimage import data

from fusionkit import Sources, compose, fuse
from fusionkit.errors import FusionkitWarning, UsageError
from fusionkit.host.preparing import ScenePrior
from fusionkit.imaging import picture_from_array
from fusionkit.sampling.evaluator import Evaluator
from fusionkit.sampling.flags import Flags

SIGMA = 25 / 127.5


def error(image, truth):
    return float((image - truth).square().mean())


@pytest.fixture(scope="module")
def compact():
    return compose(
        estimator="compact", weighting="fixed", objective={"name": "mse", "strength": 0.0}, steps=1
    )


@pytest.fixture(scope="module")
def truth():
    photograph = torch.from_numpy(data.camera()[100:196, 200:296].copy()).float() / 127.5 - 1
    # The second shows the same in the half of the contrast, brighter: a function of the first.
    return torch.stack([photograph, 0.5 * photograph + 0.3])[:, None]


def noise_like(images, seed=0):
    return torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))


def prior(pipeline):
    flags = Flags()
    evaluator = Evaluator(pipeline.parts["estimator"].built, "compact", flags)
    return ScenePrior(evaluator, 3, 0, pipeline.device, pipeline.dtype), evaluator


def test_the_prior_takes_off_most_of_the_noise(compact, truth):
    noisy = truth[:1] + SIGMA * noise_like(truth[:1])
    at_hand, evaluator = prior(compact)
    clean = at_hand.denoise(noisy, [SIGMA])
    assert error(clean, truth[:1]) < error(noisy, truth[:1]) / 4
    assert evaluator.pixels == 96 * 96


def test_a_clean_source_helps_a_noisy_one(compact, truth):
    noisy = truth.clone()
    noisy[0] += SIGMA * noise_like(truth[0])
    denoise = prior(compact)[0].denoise
    alone = denoise(noisy[:1], [SIGMA])
    together = clean_sources(noisy, [SIGMA, 0.0], denoise)
    assert error(together[0], truth[0]) < error(alone, truth[:1]) / 2
    assert torch.equal(together[1], truth[1])


def test_an_unrelated_source_does_no_harm(compact, truth):
    noisy = truth.clone()
    noisy[0] += SIGMA * noise_like(truth[0])
    noisy[1] = torch.from_numpy(data.coins()[100:196, 100:196] / 127.5 - 1).float()
    denoise = prior(compact)[0].denoise
    alone = denoise(noisy[:1], [SIGMA])
    together = clean_sources(noisy, [SIGMA, 0.0], denoise)
    assert error(together[0], truth[0]) < 1.05 * error(alone, truth[:1])


@pytest.mark.slow
def test_the_order_of_sources_does_not_matter(compact, truth):
    third = truth[:1].flip(-1)
    noisy = torch.cat([truth, third])
    noisy = noisy + SIGMA * noise_like(noisy)
    levels, order = [SIGMA, SIGMA / 2, SIGMA / 4], [2, 0, 1]
    denoise = prior(compact)[0].denoise
    straight = clean_sources(noisy, levels, denoise)
    turned = clean_sources(noisy[order], [levels[k] for k in order], denoise)
    torch.testing.assert_close(turned, straight[order], atol=1e-4, rtol=0)


def test_a_source_is_not_foretold_by_what_it_fills_itself(compact, truth):
    noisy = truth[:1] + SIGMA * noise_like(truth[:1])
    shown = torch.ones(2, 96, 96, dtype=torch.bool)
    shown[1] = False
    denoise = prior(compact)[0].denoise
    filled = torch.cat([noisy, noisy])  # the second shows nothing of its own
    together = clean_sources(filled, [SIGMA, 0.0], denoise, shown)
    torch.testing.assert_close(together[:1], denoise(noisy, [SIGMA]), atol=1e-5, rtol=0)


def arrays(truth):
    return [((image[0] + 1) / 2).clamp(0, 1).numpy() for image in truth]


def test_sources_without_noise_go_the_usual_way(truth):
    usual = fuse(arrays(truth), **settings())
    same = fuse(arrays(truth), **settings(), noise={1: 0, 2: 0})
    assert np.array_equal(usual.image, same.image)
    assert usual.record["run"]["nfe"] == same.record["run"]["nfe"]


@pytest.mark.slow
def test_every_noisy_source_costs_two_evaluations(truth):
    def nfe(**noise):
        return fuse(arrays(truth), **settings(), **noise).record["run"]["nfe"]

    usual = nfe()
    assert nfe(noise={1: 10}) == usual + 2
    assert nfe(noise={1: 10, 2: 20}) == usual + 4


def test_a_clean_source_stays_to_the_last_bit(compact, truth):
    planes = np.stack(arrays(truth))[:, None]
    pictures = tuple(picture_from_array(plane[0], "one") for plane in planes)
    sources = Sources(pictures, planes)
    prepared = NoiseOff(("1:20",)).prepare(sources, prior(compact)[0])
    assert np.array_equal(prepared.sources.planes[1], planes[1])
    assert not np.array_equal(prepared.sources.planes[0], planes[0])
    assert prepared.record == {"taken_off": [20, 0], "of": 255}
    assert np.array_equal(sources.planes, planes)


@pytest.mark.parametrize("noise", [{3: 10}, {1: -1}, {1: float("nan")}])
def test_other_levels_are_refused(truth, noise):
    with pytest.raises(UsageError, match="--noise"):
        fuse(arrays(truth), **settings(), noise=noise)


def test_estimates_of_noisy_sources_are_cached_apart(tmp_path, truth):
    parts = {"estimator": "gaussian", "weighting": "dig", "objective": "increments", "steps": 2}
    noisy = arrays(truth + SIGMA * noise_like(truth))

    def fused(**more):
        return fuse(noisy, **parts, **more, cache=tmp_path).image

    plain = fused(noise={1: 0, 2: 0})
    quiet = fused(noise={1: 25, 2: 25})
    assert not np.array_equal(plain, quiet)
    assert np.array_equal(fused(noise={1: 25, 2: 25}), quiet)
    assert np.array_equal(fused(noise={1: 0, 2: 0}), plain)


def eight_bit(image, sigma, seed):
    random = np.random.default_rng(seed)
    values = image + sigma * random.standard_normal(image.shape)
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def settings():
    return {
        "estimator": "compact",
        "weighting": "fixed",
        "objective": {"name": "mse", "strength": 0.0},
        "steps": 1,
    }


@pytest.mark.slow
def test_colour_loses_its_noise_too():
    photograph = data.astronaut()[:128, 150:278].astype(float)
    sources = [eight_bit(photograph, 20, 0), eight_bit(photograph.mean(-1), 20, 1)]
    with pytest.warns(FusionkitWarning, match="looks noisy, about .* --noise auto"):
        plain = fuse(sources, **settings())
    quiet = fuse(sources, noise=["auto"], **settings())
    for take in (lambda rgb: rgb @ [0.299, 0.587, 0.114], lambda rgb: rgb[..., 0] - rgb[..., 2]):
        before, after = (
            np.square(take(result.image.astype(float)) - take(photograph)).mean()
            for result in (plain, quiet)
        )
        assert after < before / 2
    assert quiet.record["preparations"]["noise"]["taken_off"] == pytest.approx([20, 20], rel=0.15)
    # Two for each luma, one for the colours of the first.
    assert quiet.record["run"]["nfe"] == plain.record["run"]["nfe"] + 5


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (["auto"], "no source shows noise, so none"),
        (["auto", "1:10"], "no other source shows noise"),
    ],
)
def test_noise_that_is_not_found_is_said(noise, words):
    rows, columns = np.mgrid[:64, :64]
    smooth = [np.sin(axis / 9) / 4 + 0.5 for axis in (rows, columns)]
    with pytest.warns(FusionkitWarning, match=f"--noise auto: {words}"):
        fuse(smooth, **settings(), noise=noise)


@pytest.mark.slow
def test_a_source_of_fewer_pixels_is_left_to_what_restores_it():
    rows, columns = np.mgrid[:64, :64]
    large = 0.5 + 0.2 * np.sin(rows / 9) * np.cos(columns / 5)
    noisy = large + 0.1 * np.random.default_rng(0).standard_normal(large.shape)
    small = noisy.reshape(32, 2, 32, 2).mean((1, 3)).clip(0, 1)
    with pytest.raises(UsageError, match="--observe 2:downsample,noise=10"):
        fuse([large, small], **settings(), noise={2: 10})
    with pytest.warns(FusionkitWarning, match="32x32 pixels"):
        result = fuse([noisy.clip(0, 1), small], **settings(), noise="auto")
    assert result.record["preparations"]["noise"]["taken_off"][1] == 0
