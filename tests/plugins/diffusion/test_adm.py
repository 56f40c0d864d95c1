"""The ``adm`` estimator: from a file to the noise."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from fusionkit_diffusion.adm import ADMEstimator, infer_architecture
from fusionkit_diffusion.adm_network import ADMNetwork, Architecture
from fusionkit_diffusion.schedules import linear_alpha_bar

import fusionkit
from fusionkit.cli import main
from fusionkit.testing import run_checks

from .tiny import TINY, checkpoint, estimator_component, images, network, random_state, varied

TIMES = torch.tensor([999, 3])


def test_the_noise_is_the_networks_without_the_variance(tmp_path) -> None:
    estimator = ADMEstimator(str(checkpoint(tmp_path)), head_channels=16)
    x = images(2, 3, 12, 8)
    assert (estimator.channels, estimator.multiple_of) == (3, 4)
    assert torch.equal(estimator.alpha_bar, linear_alpha_bar())
    both = network()(x, TIMES)
    assert both.shape == (2, 6, 12, 8)
    assert torch.equal(estimator(x, TIMES), both[:, :3])


def test_options_that_no_shape_tells_reach_the_network(tmp_path) -> None:
    file = str(checkpoint(tmp_path))
    x = images(2, 3, 8, 8)
    noises = [
        ADMEstimator(file, head_channels=channels, attention_order=order)(x, TIMES)
        for channels, order in ((16, "legacy"), (16, "new"), (32, "legacy"))
    ]
    for n, arch in enumerate([TINY, varied(attention_order="new"), varied(head_channels=32)]):
        assert torch.equal(noises[n], network(arch)(x, TIMES)[:, :3])
    assert (noises[0] - noises[1]).abs().max() > 1e-2
    assert (noises[0] - noises[2]).abs().max() > 1e-2


def test_loading_leaves_the_random_state_alone(tmp_path) -> None:
    file = str(checkpoint(tmp_path))
    before = torch.get_rng_state()
    ADMEstimator(file, head_channels=16)
    assert torch.equal(before, torch.get_rng_state())


def test_the_three_forms_of_a_file_hold_the_same_weights(tmp_path) -> None:
    pytest.importorskip("safetensors")
    from safetensors.torch import save_file

    state, x = random_state(), images(1, 3, 8, 8)
    files = [tmp_path / name for name in ("zip.pt", "before-1.6.pt", "tiny.safetensors")]
    torch.save(state, files[0])
    torch.save(state, files[1], _use_new_zipfile_serialization=False)
    save_file(state, files[2])
    expected = network()(x, TIMES[:1])[:, :3]
    for file in files:
        assert torch.equal(ADMEstimator(str(file), head_channels=16)(x, TIMES[:1]), expected)


def test_the_weights_are_its_own_once_loaded(tmp_path) -> None:
    file = checkpoint(tmp_path)
    estimator = ADMEstimator(str(file), head_channels=16)
    x = images(1, 3, 8, 8)
    before = estimator(x, TIMES[:1])
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.write(bytes(size))
    assert torch.equal(estimator(x, TIMES[:1]), before)


@pytest.mark.parametrize(("precision", "far"), [("bfloat16", 0.1), ("float16", 0.01)])
def test_half_precision_rounds_and_no_more(tmp_path, precision, far) -> None:
    file = str(checkpoint(tmp_path))
    x = images(2, 3, 16, 16)
    exact = ADMEstimator(file, head_channels=16, precision="float64")(x.double(), TIMES)
    full = ADMEstimator(file, head_channels=16)(x, TIMES)
    half = ADMEstimator(file, head_channels=16, precision=precision)(x, TIMES)
    assert (exact.dtype, full.dtype, half.dtype) == (torch.float64, torch.float32, torch.float32)
    scale = exact.std()
    assert (full - exact).abs().max() < 1e-4 * scale
    assert 1e-4 * scale < (half - exact).abs().mean() < far * scale
    # A run may be in float64 around a network in float32.
    wide = ADMEstimator(file, head_channels=16)(x.double(), TIMES)
    assert wide.dtype == torch.float64
    assert torch.equal(wide.float(), full)


def test_nothing_is_recorded_for_gradients(tmp_path) -> None:
    estimator = ADMEstimator(str(checkpoint(tmp_path)), head_channels=16)
    x = images(1, 3, 8, 8).requires_grad_()
    with torch.enable_grad():
        noise = estimator(x, TIMES[:1])
    assert not noise.requires_grad
    assert not noise.is_inference()  # an objective may still compute gradients with it


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
    outcomes = run_checks(estimator_component("adm"), options)
    assert [outcome for outcome in outcomes if outcome.status != "passed"] == []
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
