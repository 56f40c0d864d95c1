"""Sources with noise of their own: what is left of it, and what it costs."""

import numpy as np
import pytest
import torch
from skimage import data

from fusionkit import compose, fuse
from fusionkit.errors import FusionkitWarning, UsageError
from fusionkit.sampling.checks import Checks
from fusionkit.sampling.denoising import Denoiser, clean_sources
from fusionkit.sampling.evaluator import Evaluator

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
    return torch.stack([photograph, 0.5 * photograph + 0.3])[:, None, None]


def noise_like(images, seed=0):
    return torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))


def denoiser(pipeline):
    evaluator = Evaluator(pipeline.parts["estimator"].built, "compact", Checks())
    return Denoiser(evaluator, pipeline.channels_of(1)), evaluator


def test_the_prior_takes_off_most_of_the_noise(compact, truth):
    noisy = truth[0] + SIGMA * noise_like(truth[0])
    denoise, evaluator = denoiser(compact)
    clean = denoise(noisy, [SIGMA], noise_like(noisy.expand(1, 3, 96, 96), 1))
    assert error(clean, truth[0]) < error(noisy, truth[0]) / 4
    assert evaluator.pixels == 96 * 96


def test_a_clean_source_helps_a_noisy_one(compact, truth):
    noisy = truth.clone()
    noisy[0] += SIGMA * noise_like(truth[0])
    fresh = noise_like(truth[0].expand(1, 3, 96, 96), 1)
    alone = denoiser(compact)[0](noisy[0], [SIGMA], fresh)
    together = clean_sources(noisy, [SIGMA, 0.0], denoiser(compact)[0], fresh)
    assert error(together[0], truth[0]) < error(alone, truth[0]) / 2
    assert torch.equal(together[1], truth[1])


def test_an_unrelated_source_does_no_harm(compact, truth):
    noisy = truth.clone()
    noisy[0] += SIGMA * noise_like(truth[0])
    noisy[1] = torch.from_numpy(data.coins()[100:196, 100:196] / 127.5 - 1).float()
    fresh = noise_like(truth[0].expand(1, 3, 96, 96), 1)
    alone = denoiser(compact)[0](noisy[0], [SIGMA], fresh)
    together = clean_sources(noisy, [SIGMA, 0.0], denoiser(compact)[0], fresh)
    assert error(together[0], truth[0]) < 1.05 * error(alone, truth[0])


def test_the_order_of_sources_does_not_matter(compact, truth):
    third = truth[:1].flip(-1)
    noisy = torch.cat([truth, third])
    noisy = noisy + SIGMA * noise_like(noisy)
    levels, order = [SIGMA, SIGMA / 2, SIGMA / 4], [2, 0, 1]
    fresh = noise_like(truth[0].expand(1, 3, 96, 96), 1)
    denoise, _ = denoiser(compact)
    straight = clean_sources(noisy, levels, denoise, fresh)
    turned = clean_sources(noisy[order], [levels[k] for k in order], denoise, fresh)
    torch.testing.assert_close(turned, straight[order], atol=1e-4, rtol=0)


def test_sources_without_noise_go_the_usual_way(compact, truth):
    usual, same = compact(truth), compact(truth, noise=(0, 0))
    assert torch.equal(usual.image, same.image)
    assert usual.nfe == same.nfe


def test_every_noisy_source_costs_two_evaluations(compact, truth):
    usual = compact(truth).nfe
    assert compact(truth, noise=(0.1, 0)).nfe == usual + 2
    assert compact(truth, noise=(0.1, 0.2)).nfe == usual + 4


def test_images_of_a_batch_do_not_disturb_each_other(compact, truth):
    noisy = torch.cat([truth, truth.flip(-1)], 1)
    noisy = noisy + SIGMA * noise_like(noisy)
    both = compact(noisy, seed=[3, 4], noise=(SIGMA, SIGMA)).image
    second = compact(noisy[:, 1:], seed=4, noise=(SIGMA, SIGMA)).image
    torch.testing.assert_close(both[1:], second, atol=1e-4, rtol=0)


@pytest.mark.parametrize("levels", [(0.1,), (0.1, -0.1), (0.1, float("nan"))])
def test_other_levels_are_refused(compact, truth, levels):
    with pytest.raises(UsageError, match="noise level"):
        compact(truth, noise=levels)


def test_estimates_of_noisy_sources_are_cached_apart(tmp_path, truth):
    parts = {"estimator": "gaussian", "weighting": "dig", "objective": "increments", "steps": 2}
    noisy = truth + SIGMA * noise_like(truth)
    cached = compose(**parts, cache=tmp_path)
    plain = cached(noisy).image
    quiet = cached(noisy, noise=(SIGMA, SIGMA)).image
    assert not torch.equal(plain, quiet)
    torch.testing.assert_close(cached(noisy, noise=(SIGMA, SIGMA)).image, quiet)
    torch.testing.assert_close(cached(noisy).image, plain)


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
    assert quiet.record["noise"]["taken_off"] == pytest.approx([20, 20], rel=0.15)
    # Two for each luma, one for the colours of the first.
    assert quiet.record["run"]["nfe"] == plain.record["run"]["nfe"] + 5
