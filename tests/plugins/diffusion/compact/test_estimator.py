"""The estimator: from a file to the noise, at every level, in every precision."""

from __future__ import annotations

import hashlib

import pytest
import torch
from fusionkit_diffusion.compact import CompactEstimator
from fusionkit_diffusion.schedules import linear_alpha_bar

from fusionkit import BuildContext, Component, compose
from fusionkit.contract.estimator import ESTIMATOR
from fusionkit.contract.registry import PluginInfo, Provided
from fusionkit.testing import run_checks

from .tiny import TINY, denoiser, images, weights_file

ENDS = torch.tensor([0, 1, 500, 998, 999])


def levels(t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    alpha_bar = linear_alpha_bar()[t].view(-1, 1, 1, 1)
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


def noised(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    a, s = levels(ENDS)
    return (a * 0.5 * images(5, 3, 16, 12) + s * images(5, 3, 16, 12, seed=1)).to(dtype)


def test_the_noise_is_what_the_denoiser_leaves(tmp_path) -> None:
    estimator = CompactEstimator(weights_file(tmp_path), precision="float64")
    assert (estimator.channels, estimator.multiple_of) == (3, TINY.multiple_of)
    assert torch.equal(estimator.alpha_bar, linear_alpha_bar())
    x, (a, s) = noised(), levels(ENDS)
    state = {k: v.float().double() for k, v in denoiser().state_dict().items()}
    exact = denoiser()
    exact.load_state_dict(state)
    clean = exact(x / a, (s / a).flatten())
    eps = estimator(x, ENDS)
    assert (eps - (x - a * clean) / s).abs().max() < 1e-10
    assert ((x - s * eps) / a - clean).abs().max() < 1e-8
    assert (estimator.denoise(x / a, (s / a).flatten()) - clean).abs().max() < 1e-12


def test_float32_is_accurate_at_both_ends(tmp_path) -> None:
    file = weights_file(tmp_path)
    exact = CompactEstimator(file, precision="float64")(noised(), ENDS)
    single = CompactEstimator(file)(noised(torch.float32), ENDS)
    assert single.dtype == torch.float32
    assert (single - exact).abs().max() < 5e-6  # the input alone is rounded by 2e-7


def test_levels_between_the_tabulated_ones(tmp_path) -> None:
    estimator = CompactEstimator(weights_file(tmp_path), precision="float64")
    y = images(1, 3, 8, 8)
    one, between, other = (estimator.denoise(y, s) for s in (0.2, 0.21, 0.22))
    assert 0 < (between - one).abs().max() < (other - one).abs().max()
    assert ((one + other) / 2 - between).abs().max() < 0.05 * (other - one).abs().max()


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 1), (2, 31)])
def test_denoise_takes_any_size(tmp_path, size) -> None:
    estimator = CompactEstimator(weights_file(tmp_path))
    y = images(2, 3, *size, dtype=torch.float32)
    assert estimator.denoise(y, 0.3).shape == y.shape
    assert torch.isfinite(estimator.denoise(y, torch.tensor([0.01, 157.0]))).all()


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
    exact = CompactEstimator(file, precision="float64")(noised(), ENDS)
    half = CompactEstimator(file, precision=precision)(noised(torch.float32), ENDS)
    assert half.dtype == torch.float32
    assert 1e-6 < (half - exact).abs().mean() < far * exact.std()
    # What goes around the network is not rounded to half precision: at a high level of
    # noise the noise is nearly all there is, and the network has nearly no say in it.
    assert (half[-1] - exact[-1]).abs().max() < 1e-3


def test_what_it_says_of_its_file(tmp_path) -> None:
    file = weights_file(tmp_path, licence="CC0")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    estimator = CompactEstimator(str(file), sha256=sha256.upper())
    assert estimator.weights_sha256 == sha256
    assert estimator.metadata["licence"] == "CC0"
    assert estimator.architecture == TINY


def test_the_weights_are_its_own_and_random_state_and_gradients_are_left_alone(tmp_path) -> None:
    file = weights_file(tmp_path)
    before = torch.get_rng_state()
    estimator = CompactEstimator(file)
    assert torch.equal(before, torch.get_rng_state())
    x = noised(torch.float32).requires_grad_()
    with torch.enable_grad():
        eps = estimator(x, ENDS)
    assert not eps.requires_grad
    assert not eps.is_inference()
    file.write_bytes(bytes(file.stat().st_size))
    assert torch.equal(estimator(x, ENDS), eps)


@pytest.mark.slow
def test_the_conformance_kit_passes(tmp_path) -> None:
    file = weights_file(tmp_path)

    def build(options: object, context: BuildContext) -> CompactEstimator:
        return CompactEstimator(file, device=context.device, precision=context.precision)

    plugin = PluginInfo("in-test", "loaded", "test")
    outcomes = run_checks(
        Provided(ESTIMATOR, Component("compact-tiny", "a tiny one", build), plugin)
    )
    assert [outcome for outcome in outcomes if outcome.status != "passed"] == []
    assert len(outcomes) > 10
