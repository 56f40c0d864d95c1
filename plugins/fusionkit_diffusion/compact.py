"""The estimator ``compact``: fusionkit's own small prior (docs/training.md)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from fusionkit import mirrored_index
from fusionkit.host.weights import checked_file, checked_hash, empty_network

from .compact_file import architecture_of, check_weights, read_file
from .compact_network import Denoiser, column, forward_flops, rotation
from .schedules import linear_alpha_bar


class CompactEstimator:
    """The noise that the compact denoiser leaves, at the levels of DDPM's linear schedule.

    The network knows continuous noise levels; the 1000 tabulated ones, sigma = s / a from 0.01
    to 157, are those of ``adm`` and ``gaussian``, so that priors can be exchanged within a
    recipe. With u, v, sin and cos of :mod:`.compact_network`, eps = sin u - cos v
    equals (x - a D) / s, but is exact at both ends of the schedule, where that
    difference would cancel (small s) or D hardly matter (small a).

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
        check_weights(tensors, self.architecture, path)
        self.multiple_of = self.architecture.multiple_of
        self.alpha_bar = linear_alpha_bar()
        with empty_network():
            denoiser = Denoiser(self.architecture)
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
        # Needed at every step on the device: moving them there each time would wait for it.
        self._levels = lru_cache(maxsize=8)(self._tabulated)

    @torch.no_grad()
    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the noise in ``x`` (B, 3, H, W), at time steps ``t`` (B,)."""
        wide = _wide(x)
        sigma, scale, sin, cos = self._levels(wide.device, wide.dtype)[:, t].unbind()
        u = column(scale) * wide
        v = self._denoiser.velocity(u, sigma)
        return (column(sin) * u - column(cos) * v).to(x.dtype)

    def flops(self, height: int, width: int) -> int:
        """Return the operations of one image of this size, a multiple of ``multiple_of``."""
        return forward_flops(self.architecture, height, width)

    @torch.no_grad()
    def denoise(self, y: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the clean estimates of y = x0 + sigma n, of any size and at any level.

        ``sigma`` is one level, or one for each image; in units of x0, which is in [-1, 1]:
        a standard deviation of 25 of 255 is 25 / 127.5.
        """
        wide = _wide(y)
        height, width = wide.shape[-2:]
        # Mirrored past the border, where white noise stays white.
        rows, columns = (
            mirrored_index(0, -(-side // self.multiple_of) * self.multiple_of, side, y.device)
            for side in (height, width)
        )
        levels = torch.as_tensor(sigma, dtype=wide.dtype, device=y.device).expand(len(y))
        clean: Tensor = self._denoiser(wide[..., rows, :][..., columns], levels)
        return clean[..., :height, :width].to(y.dtype)

    def _tabulated(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Sigma, c_in / a, sin and cos of every time step, (4, T), computed in float64."""
        sigma_data = self.architecture.sigma_data
        a = self.alpha_bar.sqrt()
        sigma = (1 - self.alpha_bar).sqrt() / a
        sin, cos = rotation(sigma, sigma_data)
        return torch.stack([sigma, cos / sigma_data / a, sin, cos]).to(device, dtype)


def _layout(weights: Tensor) -> torch.memory_format:
    """Return the memory layout that kernels are fastest in; other weights have no choice."""
    return torch.channels_last if weights.ndim == 4 else torch.contiguous_format


def _wide(x: Tensor) -> Tensor:
    """At least float32, which the preconditioning needs."""
    return x if x.dtype == torch.float64 else x.float()
