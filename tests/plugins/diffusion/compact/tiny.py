"""Tiny networks of the compact prior."""

from __future__ import annotations

from pathlib import Path

import torch
from fusionkit_diffusion.compact_file import describe
from fusionkit_diffusion.compact_network import Architecture, Denoiser
from torch import Tensor

from fusionkit.host.weights_file import write_safetensors

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


def one_line(text: str, *parts: str) -> None:
    """Check that a message is one line which holds all of these."""
    assert "\n" not in text
    assert len(text) < 500
    assert [part for part in parts if part not in text] == [], text
