"""The estimator ``compact``: fusionkit's own small prior (docs/training.md)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from fusionkit import Prior, check_tensors, checked_file, checked_hash, empty_network

from .compact_file import architecture_of, read_file
from .compact_network import Denoiser, forward_flops

_TRAINED = (0.01, 157.5)


class CompactEstimator(Prior):
    """The compact denoiser, at any noise level.

    It was trained from sigma 0.01 to 157, the levels of DDPM; what is asked for beyond is told
    to the network as the nearest of these.

    Parameters
    ----------
    file
        Safetensors, with the architecture in its metadata.
    sha256
        The hash that it must have; empty for any.
    device, precision
        As of :class:`fusionkit.BuildContext`. Half precision is that of the convolutions;
        everything around them is computed in float32.

    compiled
        Whether the network goes through torch.compile, at its first call.

    Attributes
    ----------
    weights_sha256
        The hash of the file, for the record of a run.
    metadata
        What the file says of itself: architecture, data, recipe, licence.
    """

    channels = 3
    sigma_min, sigma_max = _TRAINED

    def __init__(
        self,
        file: str | Path,
        *,
        sha256: str = "",
        device: str = "cpu",
        precision: str = "float32",
        compiled: bool = False,
    ) -> None:
        path = checked_file(file)
        self.weights_sha256 = checked_hash(path, sha256)
        tensors, self.metadata = read_file(path)
        self.architecture = architecture_of(self.metadata, path)
        self.multiple_of = self.architecture.multiple_of
        with empty_network():
            denoiser = Denoiser(self.architecture)
        check_tensors(tensors, denoiser.network.state_dict(), path)
        dtype = getattr(torch, precision)
        weights = {
            key: value.to(device, dtype, copy=True).contiguous(memory_format=_layout(value))
            for key, value in tensors.items()
        }
        denoiser.network.load_state_dict(weights, assign=True)
        self._denoiser = denoiser.eval().requires_grad_(False)
        self.compiled = compiled
        if compiled:
            # For each shape anew; on CUDA, shapes that repeat become CUDA graphs.
            cuda = torch.device(device).type == "cuda"
            denoiser.network.compile(mode="reduce-overhead" if cuda else "default", dynamic=False)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the clean estimates of x = x0 + sigma n (B, 3, H, W), sigma (B,)."""
        wide = _wide(x)
        clean: Tensor = self._denoiser(wide, sigma.to(wide.dtype).clamp(*_TRAINED))
        return clean.to(x.dtype)

    def flops(self, height: int, width: int) -> int:
        """Return the operations of one image of this size, a multiple of ``multiple_of``."""
        return forward_flops(self.architecture, height, width)


def _layout(weights: Tensor) -> torch.memory_format:
    """Return the memory layout that kernels are fastest in; other weights have no choice."""
    return torch.channels_last if weights.ndim == 4 else torch.contiguous_format


def _wide(x: Tensor) -> Tensor:
    """At least float32, which the preconditioning needs."""
    return x if x.dtype == torch.float64 else x.float()
