"""Half-quadratic splitting, guesses, and what sources foretell of one another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from fusionkit_diffusion.gaussian import GaussianEstimator
from fusionkit_observations.blur import Blur
from fusionkit_observations.downsample import Downsample
from fusionkit_observations.noise import Noise
from fusionkit_observations.psf import gaussian
from fusionkit_restoration.drawing import draw
from fusionkit_restoration.foretelling import foretold
from fusionkit_restoration.guesses import backprojected, error_of, guess, spread
from fusionkit_restoration.splitting import FIRST, LAST, levels_of, restore, turned, turned_back
from torch import Tensor

from fusionkit import Identity, StartedObservation, box_mean
from fusionkit.contract.chain import start_chain

H, W = 64, 80
SIZE = (H, W)


def scene(seed: int = 0) -> Tensor:
    """Return a Gaussian field with the spectrum of natural images, and an edge, (1, 1, H, W)."""
    rng = np.random.default_rng(seed)
    f = np.hypot(np.fft.fftfreq(H)[:, None], np.fft.fftfreq(W)) + 0.02
    field = np.fft.ifft2(np.fft.fft2(rng.normal(size=(H, W))) * f**-1.5).real
    field += 2 * field.std() * (np.arange(W) > W // 2)
    field = 0.3 * (field - field.mean()) / field.std()
    return torch.from_numpy(field)[None, None]


class Prior:
    """The exact prior of such fields, which writes down what it is asked."""

    def __init__(self) -> None:
        self.estimator = GaussianEstimator(exponent=3.0, deviation=0.3, correlation=16.0)
        self.asked: list[tuple[int, float, bool]] = []

    def __call__(self, x: Tensor, sigmas: Sequence[float], white: bool) -> Tensor:
        self.asked.append((len(x), sigmas[0], white))
        return self.estimator.denoise(x, torch.tensor(list(sigmas), dtype=x.dtype, device=x.device))


def psnr(image: Tensor, truth: Tensor) -> float:
    return float(10 * torch.log10(4 / (image - truth).square().mean()))


def holes() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    mask = (torch.rand(1, 1, H, W, generator=generator) > 0.3).double()
    mask[..., 20:26, :] = 0
    return mask


def measured(kind: str, c: Tensor) -> tuple[Tensor, StartedObservation]:
    noise = torch.randn(c.shape, generator=torch.Generator().manual_seed(2), dtype=c.dtype)
    if kind == "mask":
        return c * holes(), start_chain([Identity(mask=holes())], c, SIZE)
    if kind == "blur":
        chain = start_chain([Blur(gaussian(1.6)), Noise(2.0)], c, SIZE)
        return chain.A(c) + noise * 2 / 127.5, chain
    if kind == "noise":
        return c + noise * 25 / 127.5, start_chain([Noise(25.0)], c, SIZE)
    chain = start_chain([Downsample()], c.new_zeros(1, 1, H // 4, W // 4), SIZE)
    return chain.A(c), chain


@pytest.mark.parametrize("kind", ["mask", "blur", "x4", "noise"])
def test_what_comes_back_is_nearer_to_the_truth(kind: str) -> None:
    c = scene()
    y, observation = measured(kind, c)
    begun = y if kind == "noise" else backprojected(y, observation, SIZE)
    restored = restore([y], [observation], SIZE, Prior(), guided=False)
    assert psnr(restored.images[0], c) > psnr(begun, c) + 0.5


@pytest.mark.parametrize("kind", ["mask", "x4"])
def test_what_comes_back_agrees_with_what_was_measured(kind: str) -> None:
    y, observation = measured(kind, scene())
    image = restore([y], [observation], SIZE, Prior(), guided=False).images[0]
    known = 1 if observation.mask is None else observation.mask
    assert (known * (observation.A(image) - y)).square().mean().sqrt() < 1 / 127.5


def test_noise_alone_takes_one_evaluation_and_is_the_priors_own_estimate() -> None:
    prior = Prior()
    y, observation = measured("noise", scene())
    restored = restore([y], [observation], SIZE, prior, guided=False)
    sigma = 25 / 127.5
    assert prior.asked == [(1, sigma, True)]
    assert restored.evaluations == 1
    expected = prior.estimator.denoise(y, torch.tensor([sigma], dtype=y.dtype))
    assert torch.equal(restored.images[0], expected)


def test_a_source_that_shows_the_scene_comes_back_unchanged() -> None:
    c, other = scene(), scene(1)
    y, observation = measured("x4", c)
    for guided in (False, True):
        prior = Prior()
        restored = restore(
            [y, other], [observation, Identity()], SIZE, prior, levels=3, guided=guided
        )
        assert torch.equal(restored.images[1], other)
        assert [asked[0] for asked in prior.asked] == [1, 1, 1]
        assert restored.evaluations == 3


def test_levels() -> None:
    observation = measured("x4", scene())[1]
    levels = levels_of(observation, 5)
    assert (levels[0], levels[-1]) == pytest.approx((FIRST, LAST))
    ratios = [b / a for a, b in pairwise(levels)]
    assert ratios == pytest.approx([ratios[0]] * 4)
    assert levels_of(Identity(), 5) == ()
    assert levels_of(Identity(0.1), 5) == (0.1,)
    assert levels_of(Identity(0.1, holes()), 5)[-1] == pytest.approx(0.1)
    assert len(levels_of(observation, 1)) == 1


@pytest.mark.parametrize("kind", ["mask", "x4"])
def test_a_sharp_source_of_the_same_scene_helps(kind: str) -> None:
    c = scene()
    guide = -0.6 * c + 0.2
    y, observation = measured(kind, c)
    alone = restore([y], [observation], SIZE, Prior(), guided=False).images[0]
    both = restore([y, guide], [observation, Identity()], SIZE, Prior())
    assert psnr(both.images[0], c) > psnr(alone, c) + 1
    # What was taken is what the source itself does not show.
    assert both.taken[0].square().mean().sqrt() > 0.01
    known = 1 if observation.mask is None else observation.mask
    seen = (known * observation.A(both.taken[0])).square().mean().sqrt()
    assert seen < 0.2 * both.taken[0].square().mean().sqrt()
    assert not both.taken[1].any()


@pytest.mark.parametrize("kind", ["mask", "x4", "blur"])
def test_nothing_is_taken_from_a_source_of_another_scene(kind: str) -> None:
    c = scene()
    y, observation = measured(kind, c)
    alone = restore([y], [observation], SIZE, Prior(), guided=False).images[0]
    both = restore([y, scene(7)], [observation, Identity()], SIZE, Prior())
    assert psnr(both.images[0], c) > psnr(alone, c) - 0.3
    assert both.taken[0].square().mean().sqrt() < 0.02


def test_texture_of_one_source_alone_is_not_painted_into_the_other() -> None:
    c = scene()
    stripes = 0.4 * torch.sin(torch.arange(W, dtype=torch.float64) * 1.3).expand(1, 1, H, W)
    y, observation = measured("x4", c)
    detail = foretold(0, y, observation, [c, scene(5) + stripes])
    assert detail.square().mean().sqrt() < 0.02


def test_two_guides_share_by_how_well_they_foretell() -> None:
    c = scene()
    y, observation = measured("mask", c)
    one = foretold(0, y, observation, [c, 0.5 * c])
    two = foretold(0, y, observation, [c, 0.5 * c, scene(3)])
    order = foretold(0, y, observation, [c, scene(3), 0.5 * c])
    assert (one - two).abs().mean() < 0.3 * one.abs().mean()
    assert (two - order).abs().max() < 1e-9


def test_guesses_agree_with_what_was_measured_and_fill_what_was_not() -> None:
    flat = torch.full((1, 1, H, W), 0.37, dtype=torch.float64)
    for kind in ("mask", "x4", "blur"):
        y, observation = measured(kind, flat)
        off = (guess(y, observation, SIZE) - flat).abs().max()
        assert off < (0.15 if kind == "blur" else 1e-3)  # in which there is noise
    bar = torch.ones(1, 1, H, W, dtype=torch.float64)
    bar[..., 10:50, :] = 0
    ramp = torch.linspace(-1, 1, H, dtype=torch.float64).view(1, 1, H, 1).expand(1, 1, H, W)
    filled = guess(ramp * bar, Identity(mask=bar), SIZE)
    assert filled.isfinite().all()
    assert filled.min() > -1.01
    assert filled.max() < 1.01


@pytest.mark.parametrize("kind", ["mask", "x4"])
def test_the_error_of_a_guess_is_measured(kind: str) -> None:
    for c in (scene(), 0.1 * scene()):
        y, observation = measured(kind, c)
        guessed = guess(y, observation, SIZE)
        unseen = torch.ones_like(c) if observation.mask is None else 1 - observation.mask
        true = ((guessed - c).square() * unseen).sum() / unseen.sum()
        expected = error_of(guessed, y, observation).square().mean()
        assert 0.2 < (expected / true).sqrt() < 5


def test_a_blur_that_hides_the_finest_is_reckoned_with() -> None:
    c = scene()
    y, observation = measured("x4", c)
    blurred = start_chain([Blur(gaussian(2.0)), Downsample()], y, SIZE)
    sharp = error_of(guess(y, observation, SIZE), y, observation).mean()
    hidden = error_of(guess(blurred.A(c), blurred, SIZE), blurred.A(c), blurred).mean()
    assert hidden > sharp


@pytest.mark.parametrize("kind", ["mask", "x4"])
def test_a_guess_that_is_right_is_not_undone(kind: str) -> None:
    """A prior that blurs from 3 of 255 on, of an image that a thin plate knows better."""
    y, x = torch.meshgrid(torch.arange(H) / H, torch.arange(W) / W, indexing="ij")
    c = (0.4 * torch.sin(12 * x) * torch.cos(9 * y)).double()[None, None]

    def blurring(images: Tensor, sigmas: Sequence[float], white: bool) -> Tensor:
        return box_mean(images, 9) if sigmas[0] > 3 / 127.5 else images

    seen, observation = measured(kind, c)
    begun = guess(seen, observation, SIZE)
    image = restore([seen], [observation], SIZE, blurring, guided=False).images[0]
    level = 1 / 127.5
    assert (blurring(begun, [1.0], False) - c).square().mean().sqrt() > 2 * level
    assert (image - c).square().mean().sqrt() < level


@pytest.mark.parametrize("kind", ["mask", "x4"])
def test_samples_spread_as_far_as_their_mean_is_wrong(kind: str) -> None:
    c = scene()
    y, observation = measured(kind, c)
    generator = torch.Generator().manual_seed(4)

    def noise(shape: Sequence[int], index: int) -> Tensor:
        return torch.randn(tuple(shape), generator=generator, dtype=torch.float64)

    def denoise(x: Tensor, sigmas: Sequence[float]) -> Tensor:
        return Prior()(x, sigmas, True)

    begun = guess(y, observation, SIZE)
    drawn = [draw(begun, y, observation, denoise, noise, levels=12, channels=1) for _ in range(6)]
    samples = torch.cat(drawn)
    unseen = torch.ones_like(c) if observation.mask is None else 1 - observation.mask
    spread_there = (samples.var(0) * unseen).sum()
    wrong = ((samples.mean(0) - c).square() * unseen).sum()
    assert 0.4 < (wrong / spread_there).sqrt() < 2.5
    for sample in drawn:  # each of them may have been measured
        off = (observation.A(sample) - y) * (1 if observation.mask is None else observation.mask)
        assert off.square().mean().sqrt() < 1 / 127.5


def test_maps_of_a_coarse_grid_spread_smoothly() -> None:
    started = Downsample().start(torch.zeros(1, 1, 40, 50), SIZE)
    ones = torch.ones(1, 2, 40, 50, dtype=torch.float64)
    assert (spread(0.3 * ones, started, SIZE) - 0.3).abs().max() < 1e-9


def test_the_loop_reads_nothing_from_the_device() -> None:
    meta = torch.zeros(1, 1, H, W, device="meta", dtype=torch.float64)
    observations = [measured("x4", scene())[1], Identity(), measured("blur", scene())[1]]
    small = meta[..., : H // 4, : W // 4].contiguous()
    images = restore([small, meta, meta], observations, SIZE, Prior(), levels=2).images
    assert [image.shape[-2:] for image in images] == [SIZE] * 3


def test_every_turn_is_another_one_and_can_be_undone() -> None:
    images = torch.arange(24.0).view(2, 3, 4)
    seen = [turned(images, number) for number in range(8)]
    assert torch.equal(seen[0], images)
    assert len({(each.shape, tuple(each.flatten().tolist())) for each in seen}) == 8
    for number, each in enumerate(seen):
        assert torch.equal(turned_back(each, number), images)
        assert torch.equal(turned(images, number + 8), each)


def test_the_prior_is_shown_another_turn_at_each_level() -> None:
    y, observation = measured("x4", scene())
    shapes = []

    class Watched(Prior):
        def __call__(self, x: Tensor, sigmas: Sequence[float], white: bool) -> Tensor:
            shapes.append(tuple(x.shape[-2:]))
            return super().__call__(x, sigmas, white)

    restore([y], [observation], SIZE, Watched(), levels=8, guided=False)
    assert shapes == [SIZE] * 4 + [SIZE[::-1]] * 4
