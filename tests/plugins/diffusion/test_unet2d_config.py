"""The ``diffusers`` estimator as far as it goes without the library: folders and schedules."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pytest
import torch
from fusionkit_diffusion.unet2d import UNet2DEstimator
from fusionkit_diffusion.unet2d_config import read_folder, scheduled_alpha_bar

from fusionkit.cli import main
from fusionkit.errors import UsageError

from .tiny import every_line

CONFIG = {
    "_class_name": "UNet2DModel",
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownBlock2D", "DownBlock2D"],
}
SCHEDULER = {"_class_name": "DDPMScheduler", "beta_schedule": "linear"}


def write(folder, config=CONFIG, scheduler=SCHEDULER, pipeline=False, weights="safetensors"):
    """A folder as ``save_pretrained`` lays it out, of a model or of a pipeline."""
    network = folder / "unet" if pipeline else folder
    schedule = folder / "scheduler" if pipeline else folder
    for sub in (network, schedule):
        sub.mkdir(parents=True, exist_ok=True)
    (network / "config.json").write_text(json.dumps(config))
    (schedule / "scheduler_config.json").write_text(json.dumps(scheduler))
    (network / f"diffusion_pytorch_model.{weights}").write_bytes(b"nothing yet")
    return folder


def refused(folder, **options) -> UsageError:
    with pytest.raises(UsageError) as caught:
        UNet2DEstimator(str(folder), **options)
    return caught.value


@pytest.mark.parametrize("pipeline", [False, True])
@pytest.mark.parametrize("weights", ["bin", "safetensors"])
def test_both_layouts_of_a_folder_are_read(tmp_path, pipeline, weights) -> None:
    found = read_folder(str(write(tmp_path / "model", pipeline=pipeline, weights=weights)))
    assert found.weights.name == f"diffusion_pytorch_model.{weights}"
    assert (
        found.weights.parent == found.network == tmp_path / ("model/unet" if pipeline else "model")
    )
    assert found.prediction == "epsilon"  # what it was before the key existed


def test_safetensors_is_preferred(tmp_path) -> None:
    for weights in ("safetensors", "bin"):
        write(tmp_path, weights=weights)
    assert read_folder(str(tmp_path)).weights.suffix == ".safetensors"


def naive_alpha_bar(beta) -> list[float]:
    product, out = 1.0, []
    for value in beta:
        product *= 1 - value
        out.append(product)
    return out


def test_the_schedules_are_their_definitions() -> None:
    T = 50
    linear = [1e-3 + (0.3 - 1e-3) * n / (T - 1) for n in range(T)]
    roots = np.linspace(math.sqrt(1e-3), math.sqrt(0.3), T)
    given = [0.1, 0.5, 0.2]
    limits = {"beta_start": 1e-3, "beta_end": 0.3, "num_train_timesteps": T}
    for scheduler, beta in (
        ({"beta_schedule": "linear", **limits}, linear),
        ({"beta_schedule": "scaled_linear", **limits}, roots**2),
        ({"beta_schedule": "linear", **limits, "trained_betas": given}, given),
    ):
        alpha_bar = scheduled_alpha_bar(scheduler)
        assert alpha_bar.dtype == torch.float64
        assert alpha_bar.tolist() == pytest.approx(naive_alpha_bar(beta), rel=1e-12)
    cosine = scheduled_alpha_bar({"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": T})

    def f(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    expected = [f((n + 1) / T) / f(0) for n in range(T - 1)]
    assert cosine[:-1].tolist() == pytest.approx(expected, rel=1e-9)
    assert float(cosine[-1]) == pytest.approx(expected[-1] * 1e-3, rel=1e-9)  # beta at most .999


def test_ddpms_own_schedule_is_the_default() -> None:
    alpha_bar = scheduled_alpha_bar(SCHEDULER)
    assert len(alpha_bar) == 1000
    assert float(alpha_bar[0]) == pytest.approx(1 - 1e-4, abs=1e-12)
    assert float(1 - alpha_bar[-1] / alpha_bar[-2]) == pytest.approx(0.02, rel=1e-9)


@pytest.mark.parametrize(
    ("config", "scheduler", "said"),
    [
        ({"_class_name": "UNet2DConditionModel"}, {}, "UNet2DConditionModel, not an unconditional"),
        ({"num_class_embeds": 10}, {}, "class-conditional (num_class_embeds"),
        ({"time_embedding_type": "fourier"}, {}, "continuous time"),
        ({"in_channels": 4, "out_channels": 4}, {}, "4 channels to 4"),
        ({"out_channels": 5}, {}, "3 channels to 5"),
        ({"down_block_types": []}, {}, "down_block_types"),
        ({}, {"prediction_type": "flow"}, "prediction_type 'flow' is none of epsilon, sample"),
        ({}, {"beta_schedule": "sigmoid"}, "beta_schedule is 'sigmoid', not linear"),
        ({}, {"beta_schedule": None}, "beta_schedule is None"),
        ({}, {"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr"),
        ({}, {"trained_betas": [0.1, 1.5]}, "between 0 and 1"),
        ({}, {"num_train_timesteps": "many"}, "scheduler_config.json: "),
    ],
)
def test_what_is_no_prior_of_images_is_refused(tmp_path, config, scheduler, said) -> None:
    folder = write(tmp_path, {**CONFIG, **config}, {**SCHEDULER, **scheduler})
    every_line(refused(folder), str(tmp_path), said)


@pytest.mark.parametrize("name", ["config.json", "scheduler_config.json"])
@pytest.mark.parametrize("content", ["{", "[1]", None])
def test_a_damaged_or_missing_description(tmp_path, name, content) -> None:
    file = write(tmp_path) / name
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    every_line(refused(tmp_path), str(tmp_path), name)


def test_missing_folders_and_weights(tmp_path, pair, capsys) -> None:
    every_line(refused(tmp_path / "none"), "none: there is no such folder")
    (write(tmp_path / "model") / "diffusion_pytorch_model.safetensors").unlink()
    every_line(refused(tmp_path / "model"), "has no diffusion_pytorch_model.safetensors or ")
    assert main(["run", *pair, "-o", str(tmp_path / "x.png"), "--estimator", "diffusers"]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "--estimator.folder" in said[0]
    assert "google/ddpm-celebahq-256" in said[0]


def test_the_hash_is_compared_first(tmp_path) -> None:
    every_line(refused(write(tmp_path), sha256="0" * 64), "its SHA-256 is ", "0" * 64)


def test_without_the_library_the_command_that_installs_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    every_line(refused(write(tmp_path)), "pip install 'fusionkit-imaging[diffusers]'")
