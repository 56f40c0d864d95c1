"""Tiny networks with random weights, and the components that they configure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from fusionkit_diffusion.adm_network import ADMNetwork, Architecture
from torch import Tensor

import fusionkit
from fusionkit.contract.estimator import ESTIMATOR
from fusionkit.contract.registry import Provided
from fusionkit.contract.run import Step

# Every kind of layer occurs in it: other widths, attention above the middle, two resamplings.
TINY = Architecture(
    base=32, widths=(32, 64, 64), blocks=1, attention=(False, True, True), head_channels=16
)


def varied(**changes: Any) -> Architecture:
    """The tiny architecture, changed."""
    return dataclasses.replace(TINY, **changes)


def random_state(arch: Architecture = TINY, seed: int = 0) -> dict[str, Tensor]:
    """A state dict under which every layer matters: attention is far from uniform."""
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in ADMNetwork(arch).state_dict().items()}
    state = {}
    for key, shape in shapes.items():
        drawn = torch.randn(shape, generator=generator)
        if len(shape) > 1:  # a matrix or a kernel
            gain = 1.5 if "qkv" in key else 1.0
            state[key] = drawn * gain / shape[1:].numel() ** 0.5
        else:
            state[key] = 0.1 * drawn + (1.0 if _is_scale(key, shapes) else 0.0)
    return state


def _is_scale(key: str, shapes: dict[str, torch.Size]) -> bool:
    return key.endswith(".weight") and len(shapes[key]) == 1


def network(arch: Architecture = TINY, seed: int = 0) -> ADMNetwork:
    """The network with that state, for inference."""
    made = ADMNetwork(arch)
    made.load_state_dict(random_state(arch, seed))
    return made.eval().requires_grad_(False)


def checkpoint(folder: Path, arch: Architecture = TINY, name: str = "tiny.pt") -> Path:
    """A file of that state."""
    path = folder / name
    torch.save(random_state(arch), path)
    return path


def images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(
        shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).to(dtype)


TIMES = torch.tensor([999, 3])
"""Steps of the networks' own schedule, DDPM's: the noisiest, and one that is nearly clean."""


def sigmas(times: Tensor = TIMES, dtype: torch.dtype = torch.float32) -> Tensor:
    """The levels of time steps of DDPM's linear schedule, s / a."""
    alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)[times]
    return ((1 - alpha_bar) / alpha_bar).sqrt().to(dtype)


def by_noise(net: Any, x: Tensor, times: Tensor = TIMES) -> Tensor:
    """What a network that predicts noise says of x0, of x = x0 + sigma n: x - sigma eps(a x, t)."""
    sigma = sigmas(times, x.dtype).view(-1, 1, 1, 1)
    return x - sigma * net(x / (1 + sigma**2).sqrt(), times)[:, : x.shape[1]]


def noisy(*shape: int, times: Tensor = TIMES, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images with noise of those levels."""
    sigma = sigmas(times, dtype).view(-1, 1, 1, 1)
    return 0.5 * images(*shape, dtype=dtype) + sigma * images(*shape, seed=1, dtype=dtype)


def near(got: Tensor, expected: Tensor, times: Tensor = TIMES, rounding: float = 2e-6) -> bool:
    """Whether the noise that two estimates leave is the same, but for rounding."""
    sigma = sigmas(times, got.dtype).view(-1, 1, 1, 1)
    scale = (1 + sigma) * (1 + expected.abs().amax() / (1 + sigma))
    return bool(((got - expected).abs() < rounding * scale).all())


def estimator_component(name: str) -> Provided:
    """The first-party component of that name, as the host finds it."""
    return fusionkit.load_plugins(strict=True).find(ESTIMATOR, f"diffusion:{name}")


class Unconditional:
    """An objective that corrects nothing: what is sampled then is the prior alone."""

    def start(self, run: Any) -> Unconditional:
        return self

    def initial(self, weights: Tensor) -> Tensor:
        raise AssertionError("a run from pure noise needs no initial fusion")

    def rectify(self, step: Step, weights: Tensor) -> Tensor:
        return step.x0


def every_line(error: BaseException, *parts: str) -> None:
    """Check that a message is one line which holds all of these."""
    message = str(error)
    assert "\n" not in message
    assert len(message) < 500
    missing: Sequence[str] = [part for part in parts if part not in message]
    assert not missing, message
