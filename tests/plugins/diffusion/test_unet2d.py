"""The ``diffusers`` estimator against the library itself: its forward pass, its DDIM."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path

import pytest
import torch
from fusionkit_diffusion.unet2d import UNet2DEstimator
from torch import Tensor

from fusionkit.errors import UsageError
from fusionkit.sampling.guide import sample
from fusionkit.testing import ConstantWeights, make_run, run_checks
from fusionkit.testing.doubles import EulerSampler

from .test_adm_refusals import Malicious
from .tiny import (
    TIMES,
    Unconditional,
    by_noise,
    estimator_component,
    every_line,
    images,
    near,
    noisy,
    sigmas,
)

if importlib.util.find_spec("diffusers") is None:
    pytest.skip("diffusers is not installed", allow_module_level=True)

# Importing the library takes seconds: one process does it, and not before a test wants it.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("diffusers")]

FIRST = TIMES[:1]
NETWORK = {
    "sample_size": 16,
    "block_out_channels": (16, 32, 32),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "attention_head_dim": 8,
    "norm_num_groups": 8,
}
# A run of ours goes from T - 1 in even strides to the clean level, and clips nothing.
DDIM = {"timestep_spacing": "trailing", "set_alpha_to_one": True, "clip_sample": False}


def saved(folder: Path, *, safe: bool = True, network=NETWORK, **scheduler) -> str:
    """A random model, saved by the library."""
    import diffusers

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = diffusers.UNet2DModel(**network)
        for name, parameter in model.named_parameters():
            if name.startswith("conv_out"):
                parameter.data.mul_(5)  # to the size of noise
    model.save_pretrained(folder, safe_serialization=safe)
    diffusers.DDIMScheduler(**{**DDIM, **scheduler}).save_pretrained(folder)
    return str(folder)


def loaded(folder: str, dtype: torch.dtype = torch.float32):
    import diffusers

    return diffusers.UNet2DModel.from_pretrained(folder).to(dtype).eval().requires_grad_(False)


def scheduler_of(folder: str):
    import diffusers

    return diffusers.DDIMScheduler.from_pretrained(folder)


def noise_of(folder: str):
    """The library's own forward pass, in the dtype of what it is given."""
    return lambda x, t: loaded(folder, x.dtype)(x, t).sample


@pytest.mark.parametrize("safe", [True, False])
def test_the_estimate_is_by_the_librarys_noise(tmp_path, safe) -> None:
    folder = saved(tmp_path, safe=safe)
    estimator = UNet2DEstimator(folder)
    assert (estimator.channels, estimator.multiple_of) == (3, 4)
    x = noisy(2, 3, 12, 20)
    assert near(estimator.denoise(x, sigmas()), by_noise(noise_of(folder), x))
    assert estimator.denoise(x.double(), sigmas().double()).dtype == torch.float64
    alpha_bar = scheduler_of(folder).alphas_cumprod
    ends = ((1 - alpha_bar) / alpha_bar).sqrt()[[0, -1]].tolist()
    assert [estimator.sigma_min, estimator.sigma_max] == pytest.approx(ends, rel=1e-3)


def test_a_learned_variance_is_dropped_and_grey_is_grey(tmp_path) -> None:
    folder = saved(tmp_path, network={**NETWORK, "in_channels": 1, "out_channels": 2})
    estimator = UNet2DEstimator(folder)
    assert estimator.channels == 1
    x = noisy(2, 1, 8, 8)
    assert near(estimator.denoise(x, sigmas()), by_noise(noise_of(folder), x))


def test_old_names_of_attentions_weights_are_understood(tmp_path) -> None:
    # Those of the public google/ddpm folders, of 2022.
    folder = saved(tmp_path, safe=False)
    file = tmp_path / "diffusion_pytorch_model.bin"
    x = images(1, 3, 8, 8)
    expected = UNet2DEstimator(folder).denoise(x, sigmas(FIRST))
    state = torch.load(file, weights_only=True)
    old = {}
    for key, value in state.items():
        for now, then in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"),
                          ("to_out.0", "proj_attn")):  # fmt: skip
            key = key.replace(now, then)
        old[key] = value
    assert set(old) != set(state)
    torch.save(old, file)
    assert torch.equal(UNet2DEstimator(folder).denoise(x, sigmas(FIRST)), expected)


def ours(estimator: UNet2DEstimator, sources: Tensor, steps: int) -> Tensor:
    """The prior alone, sampled by fusionkit's loop from pure noise."""
    run = make_run(sources, estimator=estimator, steps=steps, start_sigma=estimator.sigma_max)
    *_, last = sample(run, ConstantWeights(), Unconditional(), EulerSampler())
    return last.corrected


def theirs(folder: str, start: Tensor, steps: int, exact: bool) -> tuple[Tensor, list[int]]:
    """The same by the library's scheduler, from the same noise."""
    model = loaded(folder, start.dtype)
    scheduler = scheduler_of(folder)
    if exact:  # its products are of float32
        beta = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
        scheduler.alphas_cumprod = torch.cumprod(1 - beta, 0)
        scheduler.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    scheduler.set_timesteps(steps)
    x = start
    for t in scheduler.timesteps:
        x = scheduler.step(model(x, t).sample, t, x, eta=0.0).prev_sample
    return x, scheduler.timesteps.tolist()


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_our_ddim_is_the_librarys(tmp_path, prediction) -> None:
    folder = saved(tmp_path, prediction_type=prediction)
    estimator = UNet2DEstimator(folder, precision="float64")
    sources = images(2, 1, 3, 16, 12, dtype=torch.float64)
    run = make_run(sources, estimator=estimator, steps=10, start_sigma=estimator.sigma_max)
    # Theirs starts at x_t = s n, where all but a 25,000th of the variance is noise.
    start = run.noise("fusionkit/start") * run.sigma[0] / (1 + run.sigma[0] ** 2) ** 0.5
    expected, timesteps = theirs(folder, start, 10, exact=True)
    levels = sigmas(torch.tensor(timesteps), torch.float64).tolist()
    assert list(run.sigma[:-1]) == pytest.approx(levels, rel=1e-9)
    got = ours(estimator, sources, 10)
    assert expected.std() > 0.1
    assert (got - expected).abs().max() < 1e-8 * expected.abs().max()
    as_it_comes, _ = theirs(folder, start, 10, exact=False)
    assert (got - as_it_comes).abs().max() < 1e-3 * expected.abs().max()


@pytest.mark.parametrize("prediction", ["sample", "v_prediction"])
def test_other_predictions_are_turned_into_the_estimate(tmp_path, prediction) -> None:
    folder = saved(tmp_path, prediction_type=prediction)
    estimator = UNet2DEstimator(folder, precision="float64")
    t = torch.tensor([999, 500, 20, 0])
    sigma = sigmas(t, torch.float64)
    x = noisy(4, 3, 8, 8, times=t, dtype=torch.float64)
    a = (1 / (1 + sigma**2).sqrt()).view(-1, 1, 1, 1)
    s = (1 - a**2).sqrt()
    predicted = loaded(folder, torch.float64)(a * x, t).sample
    x0 = estimator.denoise(x, sigma)
    eps = (a * x - a * x0) / s
    recovered = x0 if prediction == "sample" else a * eps - s * x0
    assert (recovered - predicted).abs().max() < 1e-9 * predicted.abs().max() / a.min()


@pytest.mark.parametrize(("precision", "far"), [("bfloat16", 0.05), ("float16", 0.01)])
def test_half_precision_is_the_torsos_alone(tmp_path, precision, far) -> None:
    folder = saved(tmp_path)
    x = images(2, 3, 16, 16)
    level = sigmas().view(-1, 1, 1, 1)
    full = (x - UNet2DEstimator(folder).denoise(x, sigmas())) / level
    estimator = UNet2DEstimator(folder, precision=precision)
    seen = {}
    for name in ("conv_in", "time_embedding", "down_blocks", "conv_out"):
        part = estimator._model.get_submodule(name)
        part = part[0].resnets[0].conv1 if name == "down_blocks" else part
        part.register_forward_hook(lambda _, __, out, name=name: seen.update({name: out.dtype}))
    half = (x - estimator.denoise(x, sigmas())) / level
    assert seen.pop("down_blocks") == getattr(torch, precision)
    assert set(seen.values()) == {torch.float32}
    assert half.dtype == torch.float32
    assert 0 < (half - full).abs().mean() < far * full.std()


def test_the_conformance_kit_passes(tmp_path) -> None:
    for prediction in ("epsilon", "v_prediction"):
        options = {"folder": saved(tmp_path / prediction, prediction_type=prediction)}
        waive = ["denoises_a_smooth_image"]  # nobody has trained it
        outcomes = run_checks(estimator_component("diffusers"), options, waive)
        failed = [outcome for outcome in outcomes if outcome.status == "failed"]
        assert failed == []
        assert sum(outcome.status == "passed" for outcome in outcomes) > 10


def test_loading_needs_no_network_and_no_random_state(tmp_path, monkeypatch) -> None:
    def unreachable(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("the network was asked for")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, unreachable)
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    folder = saved(tmp_path)
    before = torch.get_rng_state()
    estimator = UNet2DEstimator(folder)
    assert torch.equal(before, torch.get_rng_state())
    assert not any(weight.requires_grad for weight in estimator._model.parameters())


def refused(folder: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        UNet2DEstimator(folder)
    return caught.value


def test_weights_that_are_not_the_models(tmp_path) -> None:
    folder = saved(tmp_path, safe=False)
    file = tmp_path / "diffusion_pytorch_model.bin"
    state = torch.load(file, weights_only=True)
    for changed, said in (
        ({k: v for k, v in state.items() if k != "conv_out.bias"}, "conv_out.bias is missing"),
        ({**state, "more": torch.zeros(1)}, "more is unexpected"),
        ({**state, "conv_in.bias": torch.zeros(3)}, "conv_in.bias"),
    ):
        torch.save(changed, file)
        every_line(refused(folder), str(file), said)


@pytest.mark.parametrize("safe", [True, False])
def test_truncated_weights(tmp_path, safe) -> None:
    folder = saved(tmp_path, safe=safe)
    file = tmp_path / f"diffusion_pytorch_model.{'safetensors' if safe else 'bin'}"
    whole = file.read_bytes()
    for kept in (0, 100, len(whole) // 2):
        file.write_bytes(whole[:kept])
        every_line(refused(folder), str(file), "cannot be loaded as a UNet2DModel")


def test_pickled_code_is_not_run(tmp_path) -> None:
    folder = saved(tmp_path / "model", safe=False)
    file, target = tmp_path / "model" / "diffusion_pytorch_model.bin", tmp_path / "was-run"
    state = torch.load(file, weights_only=True)
    torch.save({**state, "more": Malicious(target)}, file)
    every_line(refused(folder), str(file))
    assert not target.exists()
