"""The ``adm`` estimator: from a file to the clean estimate."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from fusionkit_diffusion.adm import ADMEstimator, infer_architecture
from fusionkit_diffusion.adm_network import ADMNetwork, Architecture

import fusionkit
from fusionkit.cli import main
from fusionkit.testing import run_checks

from .tiny import (
    TIMES,
    TINY,
    by_noise,
    checkpoint,
    estimator_component,
    images,
    near,
    network,
    noisy,
    random_state,
    sigmas,
    varied,
)

FIRST = TIMES[:1]


def test_the_estimate_is_by_the_networks_noise_without_the_variance(tmp_path) -> None:
    estimator = ADMEstimator(str(checkpoint(tmp_path)), head_channels=16)
    x = noisy(2, 3, 12, 8)
    assert (estimator.channels, estimator.multiple_of) == (3, 4)
    ends = sigmas(torch.tensor([0, 999]), torch.float64).tolist()
    assert [estimator.sigma_min, estimator.sigma_max] == pytest.approx(ends, rel=1e-12)
    assert network()(x, TIMES).shape == (2, 6, 12, 8)
    assert near(estimator.denoise(x, sigmas()), by_noise(network(), x))


def test_a_level_between_two_steps_is_told_as_the_nearer(tmp_path) -> None:
    estimator = ADMEstimator(str(checkpoint(tmp_path)), head_channels=16, precision="float64")
    x, told = noisy(1, 3, 8, 8, times=FIRST, dtype=torch.float64), []
    steps = sigmas(torch.tensor([500, 501]), torch.float64)
    estimator._network.register_forward_hook(lambda _, given, __: told.append(int(given[1])))
    for share in (0.0, 0.4, 0.6, 1.0):
        sigma = steps[0] * (steps[1] / steps[0]) ** share
        estimator.denoise(x, sigma.view(1))
    assert told == [500, 500, 501, 501]


def test_options_that_no_shape_tells_reach_the_network(tmp_path) -> None:
    file = str(checkpoint(tmp_path))
    x = noisy(2, 3, 8, 8)
    clean = [
        ADMEstimator(file, head_channels=channels, attention_order=order).denoise(x, sigmas())
        for channels, order in ((16, "legacy"), (16, "new"), (32, "legacy"))
    ]
    for n, arch in enumerate([TINY, varied(attention_order="new"), varied(head_channels=32)]):
        assert near(clean[n], by_noise(network(arch), x))
    assert (clean[0] - clean[1]).abs().max() > 1e-2
    assert (clean[0] - clean[2]).abs().max() > 1e-2


def test_loading_leaves_the_random_state_alone(tmp_path) -> None:
    file = str(checkpoint(tmp_path))
    before = torch.get_rng_state()
    ADMEstimator(file, head_channels=16)
    assert torch.equal(before, torch.get_rng_state())


def test_the_three_forms_of_a_file_hold_the_same_weights(tmp_path) -> None:
    pytest.importorskip("safetensors")
    from safetensors.torch import save_file

    state, x = random_state(), noisy(1, 3, 8, 8, times=FIRST)
    files = [tmp_path / name for name in ("zip.pt", "before-1.6.pt", "tiny.safetensors")]
    torch.save(state, files[0])
    torch.save(state, files[1], _use_new_zipfile_serialization=False)
    save_file(state, files[2])
    expected = by_noise(network(), x, FIRST)
    for file in files:
        found = ADMEstimator(str(file), head_channels=16).denoise(x, sigmas(FIRST))
        assert near(found, expected, FIRST)


def test_the_weights_are_its_own_once_loaded(tmp_path) -> None:
    file = checkpoint(tmp_path)
    estimator = ADMEstimator(str(file), head_channels=16)
    x = images(1, 3, 8, 8)
    before = estimator.denoise(x, sigmas(FIRST))
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.write(bytes(size))
    assert torch.equal(estimator.denoise(x, sigmas(FIRST)), before)


@pytest.mark.parametrize(("precision", "far"), [("bfloat16", 0.1), ("float16", 0.01)])
def test_half_precision_rounds_and_no_more(tmp_path, precision, far) -> None:
    file = str(checkpoint(tmp_path))
    level = sigmas().view(-1, 1, 1, 1)
    x = images(2, 3, 16, 16) * (1 + level**2).sqrt()  # of unit variance to the network

    def noise(x: torch.Tensor, precision: str = "float32") -> torch.Tensor:
        estimator = ADMEstimator(file, head_channels=16, precision=precision)
        x0 = estimator.denoise(x, sigmas(dtype=x.dtype))
        return (x - x0) / level.to(x)

    exact, full, half = noise(x.double(), "float64"), noise(x), noise(x, precision)
    assert (exact.dtype, full.dtype, half.dtype) == (torch.float64, torch.float32, torch.float32)
    scale = exact.std()
    # At the lower level, of 0.03, the noise is what rounding leaves of it.
    assert (full - exact).abs().max() < 2e-4 * scale
    assert 1e-4 * scale < (half - exact).abs().mean() < far * scale
    # A run may be in float64 around a network in float32.
    wide = noise(x.double())
    assert wide.dtype == torch.float64
    assert (wide.float() - full).abs().max() < 2e-4 * scale


def test_gradients_go_to_the_image_and_not_to_the_weights(tmp_path) -> None:
    estimator = ADMEstimator(str(checkpoint(tmp_path)), head_channels=16, precision="float64")
    assert not any(weight.requires_grad for weight in estimator._network.parameters())
    x = noisy(1, 3, 8, 8, times=torch.tensor([300]), dtype=torch.float64)
    sigma = sigmas(torch.tensor([300]), torch.float64)
    cotangent, way = images(2, 1, 3, 8, 8, dtype=torch.float64).unbind()
    x0, gradient = estimator.vjp(x, sigma, cotangent)
    assert torch.equal(x0, estimator.denoise(x, sigma))
    assert not x0.requires_grad
    assert not gradient.requires_grad
    h = 1e-5
    slope = (estimator.denoise(x + h * way, sigma) - estimator.denoise(x - h * way, sigma)) / (
        2 * h
    )
    assert float((gradient * way).sum()) == pytest.approx(
        float((cotangent * slope).sum()), rel=1e-6
    )


@pytest.mark.parametrize(
    "arch",
    [
        Architecture(),
        TINY,
        varied(channels_in=1, channels_out=1),
        varied(scale_shift=False, blocks=3),
        varied(residual_resampling=False, attention=(False, False, False)),
        varied(residual_resampling=False),
        varied(widths=(32,), attention=(True,)),
        # channel_mult 0.5, 1, 2 of OpenAI's 512 x 512 model
        varied(base=64, widths=(32, 64, 128), attention=(True, False, True)),
    ],
)
def test_the_architecture_is_read_off_the_shapes(arch) -> None:
    with torch.device("meta"):
        shapes = {key: tuple(v.shape) for key, v in ADMNetwork(arch).state_dict().items()}
    assert infer_architecture(shapes, arch.head_channels, arch.attention_order) == arch


@pytest.mark.slow
def test_the_conformance_kit_passes(tmp_path) -> None:
    options = {"checkpoint": str(checkpoint(tmp_path)), "head-channels": 32}
    waive = ["denoises_a_smooth_image"]  # nobody has trained it
    outcomes = run_checks(estimator_component("adm"), options, waive)
    assert [outcome.reason for outcome in outcomes if outcome.status != "passed"] == ["waived"]
    assert len(outcomes) > 10


def test_without_a_checkpoint_the_kit_has_nothing_to_check() -> None:
    statuses = {outcome.name: outcome for outcome in run_checks(estimator_component("adm"))}
    assert statuses["shape_and_dtype"].status == "skipped"
    assert "--estimator.checkpoint" in (statuses["shape_and_dtype"].reason or "")
    assert "failed" not in {outcome.status for outcome in statuses.values()}


def test_a_pair_of_any_size_is_fused_and_recorded(tmp_path, pair) -> None:
    file = checkpoint(tmp_path)
    out = tmp_path / "fused.png"
    flags = ["--steps", "2", "--estimator", "adm", "--estimator.checkpoint", str(file)]
    assert main(["run", *pair, "-o", str(out), *flags, "--estimator.head-channels", "16"]) == 0
    record = json.loads((tmp_path / "fused.png.json").read_text())
    expected = hashlib.sha256(file.read_bytes()).hexdigest()
    assert record["components"]["estimator"]["weights_sha256"] == expected
    named = record["recipe"]["estimator"]["checkpoint"]
    assert named == {"path": str(file), "sha256": expected}


def test_colour_sources_are_fused_in_colour(tmp_path) -> None:
    estimator = ADMEstimator(str(checkpoint(tmp_path)), head_channels=16)
    pipe = fusionkit.compose(estimator=estimator, steps=2)
    fused = pipe(images(2, 1, 3, 9, 10).tanh(), seed=0)
    assert fused.image.shape == (1, 3, 9, 10)
    assert torch.isfinite(fused.image).all()
