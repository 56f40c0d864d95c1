"""Networks with random weights, and files of them."""

from __future__ import annotations

from pathlib import Path

import torch
from fusionkit_learned.network import Network
from fusionkit_learned.weights_file import write_file
from torch import Tensor


def network(seed: int = 0, levels: int = 0) -> Network:
    """A network in float64 whose scores are far from equal, which those of a new one are."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = Network(levels).double().requires_grad_(False)
        made.head.weight.normal_(std=0.5)
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


def one_line(text: str, *parts: str) -> None:
    """Check that a message is one line which holds all of these."""
    assert "\n" not in text
    assert len(text) < 500
    assert [part for part in parts if part not in text] == [], text
