"""Sources of any number of channels, by priors of one, of three and of any."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import fusionkit
from fusionkit import Pipeline, UsageError, compose
from fusionkit.host.preparing import ScenePrior
from fusionkit.sampling.evaluator import Evaluator
from fusionkit.sampling.flags import Flags
from fusionkit.testing.doubles import (
    ConstantWeights,
    EulerSampler,
    WeightedMean,
    WhiteGaussian,
    synthetic_sources,
)

N = 3
VARIANCE = 0.25
SAMPLERS = ("ddim", "heun", "pigdm")


class Grey(WhiteGaussian):
    """Divides by what only an image of one channel has: it cannot take more."""

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        assert x.shape[1] == 1
        return super().denoise(x, sigma)


def composed(estimator: Any, sampler: Any = None, **more: Any) -> Pipeline:
    return compose(
        estimator=estimator,
        weighting=ConstantWeights((0.3, 0.7)),
        objective=WeightedMean(0.2),
        sampler=EulerSampler() if sampler is None else sampler,
        device="cpu",
        precision="float64",
        steps=N,
        start_sigma=80.0,
        **more,
    )


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("prior", ["one", "any"])
def test_every_channel_is_fused_by_itself(prior: str, channels: int) -> None:
    estimator = Grey() if prior == "one" else WhiteGaussian(channels=None)
    pipeline = composed(estimator)
    sources = synthetic_sources(2, 2, channels, 9, 8)
    done = list(pipeline.steps(sources, seed=[3, 4]))
    run = done[0].step.run
    mean = 0.3 * sources[0] + 0.7 * sources[1]
    x = run.sigma[0] * run.noise("fusionkit/start")
    assert x.shape == (2, channels, 9, 8)
    for i, each in enumerate(done):
        sigma, after = run.sigma[i : i + 2]
        x0 = VARIANCE / (VARIANCE + sigma**2) * x
        rho = 0.2 * (run.sigma[N - 1] / sigma) ** 2
        corrected = (mean + rho * x0) / (1 + rho)
        assert (each.corrected - corrected).abs().max() < 1e-12
        x = corrected + after / sigma * (x - corrected)
    fused = pipeline(sources, seed=[3, 4])
    assert torch.equal(fused.image, done[-1].corrected)
    assert fused.image.shape == (2, channels, 9, 8)
    assert fused.weights.shape == (2, 2, 1, 9, 8)
    assert fused.nfe == N * (channels if prior == "one" else 1)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_prior_of_one_channel_is_one_of_any_that_treats_them_alike(sampler: str) -> None:
    sources = synthetic_sources(2, 1, 3, 9, 8)
    one, every = (
        composed(estimator, sampler)(sources, seed=2)
        for estimator in (Grey(multiple_of=4), WhiteGaussian(channels=None))
    )
    assert (one.image - every.image).abs().max() < 1e-12
    assert one.nfe == 3 * every.nfe


def test_sources_of_a_prior_of_one_channel_are_estimated_channel_by_channel() -> None:
    sources = synthetic_sources(2, 1, 3, 9, 8)
    dynamic = {"name": "dig", "dynamic": True, "stride": 1, "resolution": 1}
    images = [
        compose(
            estimator=estimator,
            weighting=dynamic,
            objective=WeightedMean(0.0),
            steps=N,
            device="cpu",
            precision="float64",
        )(sources)
        for estimator in (Grey(), WhiteGaussian(channels=None))
    ]
    assert (images[0].image - images[1].image).abs().max() < 1e-12
    assert (images[0].nfe, images[1].nfe) == (3 * 2 * N, 2 * N)


@pytest.mark.parametrize(("channels", "nfe"), [(1, 1), (None, 1)])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_noise_is_taken_off_every_channel(channels: int | None, nfe: int, count: int) -> None:
    images = synthetic_sources(2, 2, count, 9, 8)[0]
    estimator = Grey() if channels == 1 else WhiteGaussian(channels=None)
    evaluator = Evaluator(estimator, "prior", Flags())
    prior = ScenePrior(evaluator, channels, 0, torch.device("cpu"), torch.float64)
    assert (prior.denoise(images, [0.5, 0.5]) - images / 2).abs().max() < 1e-12
    assert evaluator.pixels / (9 * 8) == 2 * (count if channels == 1 else nfe)


def test_a_prior_of_three_channels_takes_one_or_three() -> None:
    pipeline = composed(WhiteGaussian(channels=3))
    assert [pipeline.channels_of(count) for count in (1, 3)] == [3, 3]
    for count in (2, 4, 8):
        with pytest.raises(UsageError, match=f"sources have {count} channels, .* takes 3: "):
            pipeline(synthetic_sources(2, 1, count, 9, 8))
    fused = pipeline(synthetic_sources(2, 1, 1, 9, 8))
    assert fused.image.shape == (1, 1, 9, 8)
    assert fused.nfe == N


def test_public_names_say_what_a_prior_takes() -> None:
    prior = fusionkit.from_denoiser(lambda image, sigma: image, channels=1)
    assert composed(prior).channels_of(5) == 5
    assert composed(fusionkit.from_denoiser(lambda image, sigma: image)).channels_of(5) == 5
