"""The estimator: from a file to the clean estimate, at every level, in every precision."""

from __future__ import annotations

import hashlib

import pytest
import torch
from fusionkit_diffusion.compact import CompactEstimator

from fusionkit import BuildContext, Component, compose, denoised
from fusionkit.contract.estimator import ESTIMATOR
from fusionkit.contract.registry import PluginInfo, Provided
from fusionkit.testing import run_checks

from .tiny import TINY, denoiser, images, weights_file

LEVELS = torch.tensor([0.01, 0.014, 6.1, 150.0, 157.0], dtype=torch.float64)


def noised(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    sigma = LEVELS.view(-1, 1, 1, 1)
    return (0.5 * images(5, 3, 16, 12) + sigma * images(5, 3, 16, 12, seed=1)).to(dtype)


def test_the_estimate_is_the_denoisers(tmp_path) -> None:
    estimator = CompactEstimator(weights_file(tmp_path), precision="float64")
    assert (estimator.channels, estimator.multiple_of) == (3, TINY.multiple_of)
    assert (estimator.sigma_min, estimator.sigma_max) == (0.01, 157.5)
    state = {k: v.float().double() for k, v in denoiser().state_dict().items()}
    exact = denoiser()
    exact.load_state_dict(state)
    clean = exact(noised(), LEVELS)
    assert (estimator.denoise(noised(), LEVELS) - clean).abs().max() < 1e-12


def test_float32_is_accurate_at_both_ends(tmp_path) -> None:
    file = weights_file(tmp_path)
    exact = CompactEstimator(file, precision="float64").denoise(noised(), LEVELS)
    single = CompactEstimator(file).denoise(noised(torch.float32), LEVELS.float())
    assert single.dtype == torch.float32
    assert (single - exact).abs().max() < 5e-6  # the input alone is rounded by 6e-8 of itself


def test_levels_are_told_to_the_network_as_they_are(tmp_path) -> None:
    estimator = CompactEstimator(weights_file(tmp_path), precision="float64")
    y = images(1, 3, 8, 8)
    one, between, other = (
        estimator.denoise(y, torch.tensor([s], dtype=torch.float64)) for s in (0.2, 0.21, 0.22)
    )
    assert 0 < (between - one).abs().max() < (other - one).abs().max()
    assert ((one + other) / 2 - between).abs().max() < 0.05 * (other - one).abs().max()


def test_levels_beyond_those_of_training_are_the_nearest(tmp_path) -> None:
    estimator = CompactEstimator(weights_file(tmp_path), precision="float64")
    y = images(2, 3, 8, 8)
    beyond, known = (
        estimator.denoise(y, torch.tensor(sigma, dtype=torch.float64))
        for sigma in ((0.001, 1000.0), (0.01, 157.5))
    )
    assert torch.equal(beyond, known)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 1), (2, 31)])
def test_any_size_is_denoised(tmp_path, size) -> None:
    estimator = CompactEstimator(weights_file(tmp_path))
    y = images(2, 3, *size, dtype=torch.float32)
    for sigma in (0.01, 0.3, 157.0):  # the host pads
        clean = denoised(estimator, y, sigma)
        assert clean.shape == y.shape
        assert torch.isfinite(clean).all()


@pytest.mark.parametrize("size", [(16, 12), (17, 23), (3, 5)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_is_fused(tmp_path, size, channels) -> None:
    pipeline = compose(
        estimator=CompactEstimator(weights_file(tmp_path)),
        weighting="dig",
        objective="mse",
        steps=3,
        device="cpu",
    )
    fused = pipeline(0.3 * images(2, 1, channels, *size, dtype=torch.float32))
    assert fused.image.shape == (1, channels, *size)
    assert torch.isfinite(fused.image).all()


@pytest.mark.parametrize(("precision", "far"), [("bfloat16", 0.05), ("float16", 0.01)])
def test_half_precision_rounds_the_convolutions_alone(tmp_path, precision, far) -> None:
    file = weights_file(tmp_path)
    exact = CompactEstimator(file, precision="float64").denoise(noised(), LEVELS)
    half = CompactEstimator(file, precision=precision).denoise(
        noised(torch.float32), LEVELS.float()
    )
    assert half.dtype == torch.float32
    assert 1e-6 < (half - exact).abs().mean() < far * exact.std()
    # What goes around the network is not rounded to half precision: at a low level of
    # noise the image is nearly all there is, and the network has nearly no say in it.
    assert (half[0] - exact[0]).abs().max() < 1e-3


def test_what_it_says_of_its_file(tmp_path) -> None:
    file = weights_file(tmp_path, licence="CC0")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    estimator = CompactEstimator(str(file), sha256=sha256.upper())
    assert estimator.weights_sha256 == sha256
    assert estimator.metadata["licence"] == "CC0"
    assert estimator.architecture == TINY


def test_the_weights_are_its_own_and_constant_and_random_state_is_left_alone(tmp_path) -> None:
    file = weights_file(tmp_path)
    before = torch.get_rng_state()
    estimator = CompactEstimator(file)
    assert torch.equal(before, torch.get_rng_state())
    x = noised(torch.float32).requires_grad_()
    with torch.enable_grad():
        x0 = estimator.denoise(x, LEVELS.float())
    assert x0.requires_grad  # by the image, which a sampler may ask for; not by the weights
    (gradient,) = torch.autograd.grad(x0.sum(), x)
    assert torch.isfinite(gradient).all()
    assert not any(weight.requires_grad for weight in estimator._denoiser.parameters())
    file.write_bytes(bytes(file.stat().st_size))
    assert torch.equal(estimator.denoise(x, LEVELS.float()), x0)


@pytest.mark.slow
def test_the_conformance_kit_passes(tmp_path) -> None:
    file = weights_file(tmp_path)

    def build(options: object, context: BuildContext) -> CompactEstimator:
        return CompactEstimator(file, device=context.device, precision=context.precision)

    plugin = PluginInfo("in-test", "loaded", "test")
    outcomes = run_checks(
        Provided(ESTIMATOR, Component("compact-tiny", "a tiny one", build), plugin),
        waive=["denoises_a_smooth_image"],  # nobody has trained it
    )
    assert [outcome.reason for outcome in outcomes if outcome.status != "passed"] == ["waived"]
    assert len(outcomes) > 10
