"""Information gains of the sources of a batch, as a run would have them."""

from __future__ import annotations

from pathlib import Path

import fusionkit_diffusion
import torch
from fusionkit_diffusion.compact import CompactEstimator
from fusionkit_learned.gains import FACTOR, information_gain
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ..state import generator_for
from .samples import Batch

PRIOR = Path(fusionkit_diffusion.__file__).with_name("compact.safetensors")


class Gains:
    """Measures gains by the prior that ships.

    Parameters
    ----------
    sigmas
        The noise levels.
    device
        Of the prior.
    """

    def __init__(self, sigmas: tuple[float, ...], device: str = "cpu") -> None:
        self.sigmas = sigmas
        self._prior = CompactEstimator(PRIOR, device=device)

    @torch.no_grad()
    def __call__(self, batch: Batch, *key: object) -> Tensor:
        """Return (K, B, L, S/2, S/2); the noise, one field for all levels, follows from the key."""
        K, B = batch.sources.shape[:2]
        grey = avg_pool2d(batch.sources.flatten(0, 1), FACTOR)
        small = grey.expand(-1, self._prior.channels, -1, -1)
        noise = torch.randn(B, *small.shape[1:], generator=generator_for("gains", *key))
        noise = noise.to(small.device).repeat(K, 1, 1, 1)  # one field for all sources of an image
        found = [
            information_gain(
                self._prior.denoise(small + sigma * noise, small.new_full((len(small),), sigma)),
                small,
            )
            for sigma in self.sigmas
        ]
        return torch.cat(found, 1).view(K, B, len(found), *small.shape[-2:])
