"""Tiny networks, photographs and trainings of the compact prior."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from fusionkit_diffusion.compact_file import describe
from fusionkit_diffusion.compact_network import Architecture, Denoiser
from fusionkit_diffusion.photographs import Photographs
from fusionkit_diffusion.trainer import Trainer
from fusionkit_diffusion.training_plan import Plan
from PIL import Image
from torch import Tensor

from fusionkit.host.weights import write_safetensors
from fusionkit.training import find_photographs

TINY = Architecture(widths=(8, 16), blocks=1)


def denoiser(arch: Architecture = TINY, seed: int = 0, head: float = 0.1) -> Denoiser:
    """A denoiser with random weights, in float64, also where training starts from zero."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = Denoiser(arch).double().requires_grad_(False)
        made.network.head.weight.normal_(std=head)
        for gain in (*made.network.enter, *made.network.leave):
            gain.weight.normal_(std=0.02)
    return made


def weights_file(folder: Path, arch: Architecture = TINY, **metadata: str) -> Path:
    """An exported file of that denoiser, in float32 so that it is the same in every precision."""
    file = folder / "tiny.safetensors"
    state = {k: v.float() for k, v in denoiser(arch).network.state_dict().items()}
    write_safetensors(file, state, {**describe(arch), **metadata})
    return file


def images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(
        shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).to(dtype)


def photograph_folder(folder: Path, count: int = 4) -> Path:
    """A folder of small pictures: smooth colours with an edge."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:88, :104]
    for n in range(count):
        waves = [np.sin(columns / (9 + n + c)) + np.cos(rows / (7 + 2 * n)) for c in range(3)]
        scene = 127 + 50 * np.stack(waves, -1) * np.where(columns > 20 * n, 1, -0.5)[..., None]
        Image.fromarray(scene.clip(0, 255).astype(np.uint8)).save(folder / f"{n}.png")
    return folder


def trainer(folder: Path, steps: int = 8, arch: Architecture = TINY, **plan: float) -> Trainer:
    """A trainer on such a folder, for so many steps."""
    settings = {"crop": 16, "batch": 4, "warm_up": 2, **plan}
    photographs = Photographs.read(find_photographs([folder]), 32)
    return Trainer(arch, Plan(steps, "steps", **settings), photographs)


def one_line(text: str, *parts: str) -> None:
    """Check that a message is one line which holds all of these."""
    assert "\n" not in text
    assert len(text) < 500
    assert [part for part in parts if part not in text] == [], text
