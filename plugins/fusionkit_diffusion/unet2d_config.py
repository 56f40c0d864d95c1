"""What the JSON files of a diffusers folder say: files, schedule, kind of prediction."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fusionkit import UsageError

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
PREDICTIONS = ("epsilon", "sample", "v_prediction")


@dataclass(frozen=True)
class ModelFolder:
    """A folder that has been looked through.

    Attributes
    ----------
    network
        The folder of ``config.json`` and the weights: ``unet/`` of a pipeline, or the folder.
    weights
        The file of weights, ``.safetensors`` where there is one.
    config
        What ``config.json`` says.
    alpha_bar
        (T,) float64.
    prediction
        One of :data:`PREDICTIONS`.
    """

    network: Path
    weights: Path
    config: Mapping[str, Any]
    alpha_bar: Tensor
    prediction: str


def read_folder(given: str | Path) -> ModelFolder:
    """Look through a folder that ``save_pretrained`` wrote, of a model or of a pipeline.

    Raises
    ------
    UsageError
        A file is missing, or what it describes is no unconditional prior of noise.
    """
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder")
    network = folder / "unet" if (folder / "unet" / "config.json").is_file() else folder
    config_file = _first(network, ("config.json",))
    scheduler_file = _first(folder, ("scheduler/scheduler_config.json", "scheduler_config.json"))
    config, scheduler = _read(config_file), _read(scheduler_file)
    _check_network(config, config_file)
    prediction = scheduler.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise UsageError(
            f"{scheduler_file}: prediction_type {prediction!r} is none of {', '.join(PREDICTIONS)}"
        )
    try:
        alpha_bar = scheduled_alpha_bar(scheduler)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UsageError(f"{scheduler_file}: {error}") from error
    return ModelFolder(network, _first(network, WEIGHTS), config, alpha_bar, prediction)


def scheduled_alpha_bar(scheduler: Mapping[str, Any]) -> Tensor:
    """Return alpha_bar (T,) of a scheduler's configuration, in float64.

    The schedules of beta are DDPM's ``linear`` (arXiv 2006.11239), ``scaled_linear``
    (arXiv 2112.10752), ``squaredcos_cap_v2`` (arXiv 2102.09672), and given numbers.

    Raises
    ------
    ValueError
        Another schedule, or one that does not end above zero.
    """
    if scheduler.get("rescale_betas_zero_snr"):
        raise ValueError(
            "rescale_betas_zero_snr leaves nothing of the image at the last level, so that no "
            "clean estimate can be made there"
        )
    T = int(scheduler.get("num_train_timesteps", 1000))
    start, end = float(scheduler.get("beta_start", 1e-4)), float(scheduler.get("beta_end", 0.02))
    kind = scheduler.get("beta_schedule")
    if scheduler.get("trained_betas") is not None:
        beta = torch.tensor(scheduler["trained_betas"], dtype=torch.float64)
    elif kind == "linear":
        beta = torch.linspace(start, end, T, dtype=torch.float64)
    elif kind == "scaled_linear":
        beta = torch.linspace(math.sqrt(start), math.sqrt(end), T, dtype=torch.float64).square()
    elif kind == "squaredcos_cap_v2":
        level = torch.linspace(0, 1, T + 1, dtype=torch.float64)
        alpha_bar = torch.cos((level + 0.008) / 1.008 * math.pi / 2).square()
        beta = (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp_max(0.999)
    else:
        raise ValueError(
            f"beta_schedule is {kind!r}, not linear, scaled_linear or squaredcos_cap_v2: "
            "fusionkit needs a variance-preserving model in discrete time"
        )
    if beta.ndim != 1 or not len(beta) or not bool(((beta > 0) & (beta < 1)).all()):
        raise ValueError("its betas do not all lie between 0 and 1")
    return torch.cumprod(1 - beta, 0)


def _check_network(config: Mapping[str, Any], file: Path) -> None:
    """Refuse what is no unconditional U-Net in discrete time."""
    name = config.get("_class_name")
    if name != "UNet2DModel":
        raise UsageError(f"{file}: describes a {name}, not an unconditional UNet2DModel")
    for key in ("class_embed_type", "num_class_embeds"):
        if config.get(key) is not None:
            raise UsageError(f"{file}: the model is class-conditional ({key} is set)")
    if config.get("time_embedding_type", "positional") == "fourier":
        raise UsageError(f"{file}: the model is in continuous time (time_embedding_type fourier)")
    channels, out = config.get("in_channels", 3), config.get("out_channels", 3)
    if channels not in (1, 3) or out not in (channels, 2 * channels):
        raise UsageError(
            f"{file}: the model maps {channels} channels to {out}, not 1 or 3 to as many or "
            "twice that (a model of latents is no prior of images)"
        )
    if not config.get("down_block_types"):
        raise UsageError(f"{file}: lists no down_block_types")


def _first(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UsageError(f"{folder}: has no {' or '.join(names)}, as a diffusers model would")


def _read(file: Path) -> Mapping[str, Any]:
    try:
        read = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from error
    if not isinstance(read, dict):
        raise UsageError(f"{file}: is no JSON object")
    return read
