"""What priors are made of: predictions and denoisers of elsewhere give the exact Gaussian prior."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_diffusion.gaussian import GaussianEstimator
from torch import Tensor

from fusionkit import (
    PluginError,
    Prior,
    from_azula,
    from_deepinv,
    from_denoiser,
    from_epsilon,
    from_velocity,
)
from fusionkit.contract.adapters import DiscretePrior, sigmas_of
from fusionkit.testing.doubles import WhiteGaussian

VARIANCE = 0.25
LINEAR = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
EXACT = WhiteGaussian(math.sqrt(VARIANCE), channels=3)


def noisy(sigma: Tensor, channels: int = 3, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(2, len(sigma), channels, 5, 6, generator=generator, dtype=torch.float64)
    return 0.5 * drawn[0] + sigma.view(-1, 1, 1, 1) * drawn[1]


def predictor(kind: str) -> Any:
    """The exact posterior means of white Gaussian images of x_t = a x0 + s n, for times t."""

    def predict(x: Tensor, t: Tensor) -> Tensor:
        assert t.dtype == torch.int64
        a = LINEAR[t].sqrt().view(-1, 1, 1, 1)
        s = (1 - LINEAR[t]).sqrt().view(-1, 1, 1, 1)
        share = x / (a * a * VARIANCE + s * s)
        x0, n = a * VARIANCE * share, s * share
        return {"sample": x0, "epsilon": n, "velocity": a * n - s * x0}[kind]

    return predict


MAKERS = {
    "epsilon": from_epsilon,
    "velocity": from_velocity,
    "sample": lambda net, table: DiscretePrior(net, table, "sample", channels=3),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_predictions_at_the_levels_of_their_table_give_the_exact_prior(kind: str) -> None:
    prior = MAKERS[kind](predictor(kind), LINEAR)
    sigma = (1 / LINEAR - 1).sqrt()[[0, 1, 60, 399, 700, 998, 999]]
    x = noisy(sigma)
    found = prior.denoise(x, sigma)
    assert (found - EXACT.denoise(x, sigma)).abs().max() < 1e-9
    assert found.dtype == x.dtype
    assert (prior.sigma_min, prior.sigma_max) == pytest.approx((0.0100005, 157.40728), rel=1e-6)
    assert (prior.channels, prior.multiple_of) == (3, 1)


@pytest.mark.parametrize("kind", MAKERS)
def test_between_the_levels_the_nearest_is_asked(kind: str) -> None:
    asked: list[int] = []

    def watched(x: Tensor, t: Tensor) -> Tensor:
        asked.extend(t.tolist())
        return predictor(kind)(x, t)

    prior = MAKERS[kind](watched, LINEAR)
    table = (1 / LINEAR - 1).sqrt()
    sigma = torch.stack(
        [table[99] ** 0.6 * table[100] ** 0.4, table[99] ** 0.4 * table[100] ** 0.6, table[0] / 3]
    )
    x = noisy(sigma)
    found = prior.denoise(x, sigma)
    assert asked == [99, 100, 0]
    # An estimate at a level 0.6 % beside: a prediction of noise or velocity errs by no more.
    assert (found - EXACT.denoise(x, sigma)).abs()[:2].max() < 0.01


def test_a_learned_variance_is_dropped_and_half_precision_widened() -> None:
    def both(x: Tensor, t: Tensor) -> Tensor:
        n = predictor("epsilon")(x, t)
        return torch.cat([n, 7 * n], 1)

    def half(x: Tensor, t: Tensor) -> Tensor:
        return predictor("epsilon")(x, t).bfloat16()

    sigma = (1 / LINEAR - 1).sqrt()[[10, 500]]
    x = noisy(sigma)
    assert torch.equal(
        from_epsilon(both, LINEAR).denoise(x, sigma),
        from_epsilon(predictor("epsilon"), LINEAR).denoise(x, sigma),
    )
    coarse = from_epsilon(half, LINEAR).denoise(x, sigma)
    assert coarse.dtype == torch.float64
    assert (coarse - EXACT.denoise(x, sigma)).abs().max() < 0.1


@pytest.mark.parametrize(
    "alpha_bar",
    [
        [0.1, 0.9],
        [0.9, 0.9],
        [1.0, 0.5],
        [0.5, 0.0],
        [0.9, math.nan, 0.1],
        [],
        torch.tensor(0.5),
        None,
        ["much", "little"],
    ],
)
def test_what_is_no_table_is_refused(alpha_bar: Any) -> None:
    for make in (from_epsilon, from_velocity):
        with pytest.raises(PluginError, match="alpha_bar") as caught:
            make(predictor("epsilon"), alpha_bar)
        assert "\n" not in str(caught.value)


def test_the_levels_of_a_table() -> None:
    assert sigmas_of([0.8, 0.5, 0.1]) == pytest.approx([0.5, 1.0, 3.0])
    assert sigmas_of(torch.tensor([0.5])) == [1.0]


# Denoisers


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (0.0, 255.0), (-1.0, 1.0), (16.0, 235.0)])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("numpy", [False, True])
def test_a_denoiser_gets_images_and_levels_in_the_values_that_it_knows(
    value_range: tuple[float, float], channels: int, numpy: bool
) -> None:
    low, high = value_range
    unit = (high - low) / 2
    seen: list[Any] = []

    def denoiser(image: Any, sigma: Any) -> Any:
        """The exact one of white images around mid-grey, in these values."""
        seen.append(image)
        if not numpy:
            sigma = sigma.view(-1, 1, 1, 1)
        variance = VARIANCE * unit**2
        middle = low + unit
        return middle + variance / (variance + sigma**2) * (image - middle)

    sigma = torch.tensor([0.1, 2.0], dtype=torch.float64)
    x = noisy(sigma, channels)
    prior = from_denoiser(denoiser, value_range=value_range, numpy=numpy)
    assert (prior.denoise(x, sigma) - EXACT.denoise(x, sigma)).abs().max() < 1e-12
    assert prior.channels is None
    if numpy:
        shape = (5, 6) if channels == 1 else (5, 6, channels)
        assert [type(image) for image in seen] == [np.ndarray] * 2
        assert [image.shape for image in seen] == [shape] * 2
    else:
        assert seen[0].shape == x.shape
    single = prior.denoise(x.float(), sigma.float())
    assert single.dtype == torch.float32
    assert (single - EXACT.denoise(x, sigma)).abs().max() < 1e-5
    meta = prior.denoise(x.to("meta"), sigma.to("meta"))
    assert meta.is_meta
    assert meta.shape == x.shape


def test_a_denoiser_of_arrays_has_no_gradient_and_others_have() -> None:
    assert from_denoiser(lambda image, sigma: image, numpy=True).vjp is None
    prior = from_denoiser(lambda image, sigma: image / (1 + sigma.view(-1, 1, 1, 1)))
    sigma = torch.tensor([1.0], dtype=torch.float64)
    x = noisy(sigma)
    x0, gradient = prior.vjp(x, sigma, torch.ones_like(x))
    assert torch.equal(x0, prior.denoise(x, sigma))
    # In [0, 1] the level is 0.5: the denoiser divides by 1.5.
    assert (gradient - 1 / 1.5).abs().max() < 1e-12


def test_the_range_and_the_sizes_of_a_denoiser_can_be_said() -> None:
    prior = from_denoiser(
        lambda image, sigma: image, channels=1, multiple_of=8, sigma_range=(0.02, 1.0)
    )
    assert (prior.channels, prior.multiple_of) == (1, 8)
    assert (prior.sigma_min, prior.sigma_max) == (0.02, 1.0)


# azula and deepinv


class GaussianBackbone(torch.nn.Module):
    """What a network preconditioned as EDM's must say to be exact for white Gaussian images."""

    def __init__(self) -> None:
        super().__init__()
        self.variance = torch.nn.Parameter(torch.tensor(VARIANCE, dtype=torch.float64))

    def forward(self, scaled: Tensor, log_sigma: Tensor) -> Tensor:
        sigma = log_sigma.exp().view(-1, 1, 1, 1)
        total = 1 + sigma.square()
        x = total.sqrt() * scaled
        mean = self.variance / (self.variance + sigma.square()) * x
        return (mean - x / total) * total.sqrt() / sigma


def azula_denoiser(schedule: str) -> Any:
    pytest.importorskip("azula", exc_type=ImportError)
    from azula import denoise, noise

    made = {
        "VE": lambda: noise.VESchedule(0.005, 200.0),
        "VP": noise.VPSchedule,
        "cosine": noise.CosineSchedule,
        "rectified": noise.RectifiedSchedule,
    }[schedule]()
    return denoise.KarrasDenoiser(GaussianBackbone(), made)


@pytest.mark.parametrize("schedule", ["VE", "VP", "cosine", "rectified"])
def test_a_denoiser_of_azula_is_the_exact_prior_whatever_its_schedule(schedule: str) -> None:
    prior = from_azula(azula_denoiser(schedule))
    least, most = (0.005, 200.0) if schedule == "VE" else (0.001, 1000.0)
    assert prior.sigma_min == pytest.approx(least, rel=1e-3)
    assert prior.sigma_max == pytest.approx(most, rel=1e-3)
    sigma = torch.tensor([0.01, 0.1, 0.5, 2.03, 20.0, 157.0], dtype=torch.float64)
    x = noisy(sigma)
    with torch.no_grad():
        found = prior.denoise(x, sigma)
    assert found.dtype == torch.float64
    assert (found - EXACT.denoise(x, sigma)).abs().max() < 1e-3
    assert prior.denoise(x.float(), sigma.float()).dtype == torch.float32


def test_a_denoiser_of_azula_gives_its_gradient() -> None:
    prior = from_azula(azula_denoiser("VP"))
    sigma = torch.tensor([0.3, 3.0], dtype=torch.float64)
    x, cotangent = noisy(sigma), noisy(sigma, seed=1)
    _, gradient = prior.vjp(x, sigma, cotangent)
    assert (gradient - EXACT.denoise(cotangent, sigma)).abs().max() < 1e-3


def test_what_behaves_as_azulas_will_do() -> None:
    class Like:
        def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
            return 1 - 0.5 * t, t  # sigma / alpha from 0 to 2

        def __call__(self, x: Tensor, t: Tensor) -> Any:
            alpha, sigma = (value.view(-1, 1, 1, 1) for value in self.schedule(t))
            mean = alpha * VARIANCE * x / (alpha**2 * VARIANCE + sigma**2)
            return SimpleNamespace(mean=mean)

    prior = from_azula(Like(), channels=None, multiple_of=4)
    assert (prior.channels, prior.multiple_of) == (None, 4)
    assert prior.sigma_max == pytest.approx(2.0)
    assert 0 < prior.sigma_min < 1e-3
    sigma = torch.tensor([0.05, 0.7, 1.9], dtype=torch.float64)
    x = noisy(sigma)
    assert (prior.denoise(x, sigma) - EXACT.denoise(x, sigma)).abs().max() < 1e-4


def test_what_behaves_as_deepinvs_will_do() -> None:
    class Like(torch.nn.Module):
        def forward(self, y: Tensor, sigma: Tensor) -> Tensor:
            assert sigma.shape == (len(y),)
            gain = (VARIANCE / 4) / (VARIANCE / 4 + sigma.view(-1, 1, 1, 1).square())
            return 0.5 + gain * (y - 0.5)  # of images in [0, 1]

    prior = from_deepinv(Like())
    sigma = torch.tensor([0.1, 1.0], dtype=torch.float64)
    x = noisy(sigma)
    assert (prior.denoise(x, sigma) - EXACT.denoise(x, sigma)).abs().max() < 1e-12
    assert (prior.channels, prior.multiple_of) == (3, 1)


def test_a_denoiser_of_deepinv() -> None:
    deepinv = pytest.importorskip("deepinv", exc_type=ImportError)
    prior = from_deepinv(deepinv.models.MedianFilter(kernel_size=3))
    sigma = torch.tensor([0.1, 0.1])
    flat = torch.full((2, 3, 9, 9), 0.25)
    assert (prior.denoise(flat, sigma)[..., 2:-2, 2:-2] - 0.25).abs().max() < 1e-6


# Gradients


def test_a_gradient_by_autograd_is_that_of_finite_differences() -> None:
    class Curved(Prior):
        """Neither linear nor pixel by pixel."""

        def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
            near = torch.nn.functional.avg_pool2d(x, 3, 1, 1)
            return torch.tanh(near + 0.3 * x * near) / (1 + sigma.view(-1, 1, 1, 1))

    sigma = torch.tensor([0.5, 2.0], dtype=torch.float64)
    x, cotangent, along = (noisy(sigma, seed=seed) for seed in (0, 1, 2))
    prior, h = Curved(), 1e-5
    with torch.no_grad():  # as the host calls it
        x0, gradient = prior.vjp(x, sigma, cotangent)
        differences = prior.denoise(x + h * along, sigma) - prior.denoise(x - h * along, sigma)
    slope = differences / (2 * h)
    assert torch.equal(x0, prior.denoise(x, sigma))
    assert not x0.requires_grad
    assert not gradient.requires_grad
    for b in range(2):  # images do not interact
        expected = float((cotangent[b] * slope[b]).sum())
        assert float((gradient[b] * along[b]).sum()) == pytest.approx(expected, rel=1e-7)


def test_the_gradient_of_a_gaussian_prior_is_its_gain() -> None:
    sigma = torch.tensor([0.1, 2.0], dtype=torch.float64)
    x, cotangent = noisy(sigma), noisy(sigma, seed=1)
    for prior in (EXACT, GaussianEstimator(correlation=4.0)):
        _, gradient = prior.vjp(x, sigma, cotangent)
        # J is symmetric, and the estimate is J x.
        assert (gradient - prior.denoise(cotangent, sigma)).abs().max() < 1e-12
