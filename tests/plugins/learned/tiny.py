"""Networks with random weights, files of them, and photographs to train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from fusionkit_learned.network import Network
from fusionkit_learned.weights_file import write_file
from PIL import Image
from torch import Tensor


def network(seed: int = 0) -> Network:
    """A network in float64 whose scores are far from equal, which those of a new one are."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = Network().double().requires_grad_(False)
        made.head.weight.normal_(std=0.5)
        for level in made.levels:
            level.modulation.normal_(std=0.2)
    return made


def weights_file(folder: Path, state: dict[str, Tensor] | None = None, **metadata: str) -> Path:
    """A file of that network, in float32."""
    file = folder / "random.safetensors"
    state = network().float().state_dict() if state is None else state
    write_file(file, state, metadata)
    return file


def images(*shape: int, seed: int = 0) -> Tensor:
    """Smooth images with some texture, about in [-1, 1], float64."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return 0.5 * drawn.cumsum(-1).sin() + 0.2 * drawn


def photograph_folder(folder: Path, count: int = 3) -> Path:
    """A folder of small pictures: waves with an edge, and some texture."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:136, :150]
    generator = np.random.default_rng(5)
    for n in range(count):
        waves = np.sin(columns / (3 + n)) + np.cos(rows / (4 + 2 * n))
        scene = 127 + 40 * waves * np.where(columns > 35 * n, 1, -0.5)
        scene = scene + generator.normal(0, 12, scene.shape)
        Image.fromarray(scene.clip(0, 255).astype(np.uint8)).save(folder / f"{n}.png")
    return folder


def one_line(text: str, *parts: str) -> None:
    """Check that a message is one line which holds all of these."""
    assert "\n" not in text
    assert len(text) < 500
    assert [part for part in parts if part not in text] == [], text
