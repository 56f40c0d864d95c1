"""The doubles are exact, and the sources are what they are said to be."""

import itertools

import pytest
import torch

from fusionkit import NoiseEstimator, Objective, Sampler, Weighting
from fusionkit.sampling.guide import sample
from fusionkit.testing import (
    ConstantWeights,
    WeightedMean,
    WhiteGaussian,
    make_run,
    synthetic_sources,
)
from fusionkit.testing.doubles import EulerSampler


def test_they_do_what_the_protocols_say() -> None:
    assert isinstance(WhiteGaussian(), NoiseEstimator)
    assert isinstance(ConstantWeights(), Weighting)
    assert isinstance(WeightedMean(), Objective)
    assert isinstance(EulerSampler(), Sampler)


def test_white_gaussian_is_the_posterior_mean() -> None:
    """Against the regression of x0 on x over draws from the prior, not against its formula."""
    generator = torch.Generator().manual_seed(0)
    estimator = WhiteGaussian(deviation=0.3)
    for sigma in (0.05, 0.4, 3.0):
        shape = (1, 1, 1000, 1000)
        x0 = 0.3 * torch.randn(shape, generator=generator, dtype=torch.float64)
        x = x0 + sigma * torch.randn(shape, generator=generator, dtype=torch.float64)
        slope = float((x * x0).sum() / x.square().sum())
        level = torch.tensor([sigma], dtype=torch.float64)
        got = float(estimator.denoise(torch.ones_like(x[..., :1, :1]), level))
        # The regression's own error is sigma over the root of the number of pixels.
        assert got == pytest.approx(slope, rel=5e-3, abs=3e-4)


def test_unconditional_sampling_is_the_product_of_its_gains() -> None:
    """With weights on a strength so large that the sources count for nothing."""
    run = make_run(steps=5)
    *_, last = sample(run, ConstantWeights(), WeightedMean(strength=1e15), EulerSampler())
    gain, v = run.sigma[0], 0.25
    for sigma, after in itertools.pairwise(run.sigma):
        clean = v / (v + sigma**2)
        gain *= clean + after / sigma * (1 - clean)
    torch.testing.assert_close(
        last.corrected, gain * run.noise("fusionkit/start"), rtol=1e-5, atol=1e-5
    )


def test_white_gaussian_refuses_what_a_network_would() -> None:
    with pytest.raises(ValueError, match="no multiple of 8"):
        WhiteGaussian(multiple_of=8).denoise(torch.zeros(1, 1, 17, 16), torch.tensor([0.5]))
    run = make_run(estimator=WhiteGaussian(multiple_of=8))  # the host pads
    assert run.source_estimate(0).shape == (2, 1, 1, 17, 23)


def test_synthetic_sources() -> None:
    sources = synthetic_sources(6, 2, 3, 17, 23)
    assert sources.shape == (6, 2, 3, 17, 23)
    assert sources.dtype == torch.float64
    assert float(sources.abs().max()) <= 1
    assert torch.equal(sources, synthetic_sources(6, 2, 3, 17, 23))
    assert torch.equal(sources[:, :1], synthetic_sources(6, 1, 3, 17, 23))
    assert not torch.equal(sources, synthetic_sources(6, 2, 3, 17, 23, seed=1))
    assert len({round(float(image.mean()), 6) for image in sources[:, 0]}) == 6


def test_a_source_is_sharpest_in_its_own_columns() -> None:
    sources = synthetic_sources(2, 1, 1, 40, 60)
    energy = sources.diff(dim=-2).square().mean((1, 2, 3))
    assert energy[0, :20].mean() > 2 * energy[1, :20].mean()
    assert energy[1, -20:].mean() > 2 * energy[0, -20:].mean()


def test_make_run_takes_device_and_dtype_of_the_sources() -> None:
    run = make_run(synthetic_sources(C=3, dtype=torch.float32).to("meta"), steps=2, seeds=[7])
    assert (run.steps, run.seeds) == (2, (7,))
    estimate = run.source_estimate(0)
    assert (estimate.device.type, estimate.dtype) == ("meta", torch.float32)


def test_weights_are_the_shares() -> None:
    run = make_run(synthetic_sources(3, 2))
    weights = ConstantWeights((0.5, 0.5, 0.0)).start(run)(None)  # type: ignore[arg-type]
    assert weights.shape == (3, 2, 1, 17, 23)
    assert weights[:, 0, 0, 0, 0].tolist() == [0.5, 0.5, 0.0]
