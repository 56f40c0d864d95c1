"""Trivial fusions, as rows to compare with: pixelwise maximum wins several tables of the field."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from .presets import TRIVIAL, source_names

# Fusions of luma (K, H, W) in [0, 255], float64, to (H, W).


def mean(sources: Tensor) -> Tensor:
    """Average the sources."""
    return sources.mean(0)


def maximum(sources: Tensor) -> Tensor:
    """Take the brightest source at each pixel."""
    return sources.amax(0)


def laplacian_max(sources: Tensor) -> Tensor:
    """Take the strongest band of each scale, undecimated, on the mean of the lowest band.

    Bands are differences of Gaussians of sigma 1, 2, 4, 8 and 16 pixels, mirrored borders.
    """
    level = images = sources.cpu().numpy()
    fused = np.zeros_like(images[0])
    for sigma in (1, 2, 4, 8, 16):
        smoother = gaussian_filter(images, sigma, axes=(1, 2))
        band = level - smoother
        strongest = np.abs(band).argmax(0)[None]
        fused += np.take_along_axis(band, strongest, 0)[0]
        level = smoother
    return torch.from_numpy(fused + level.mean(0)).to(sources.device)


BASELINES: dict[str, Callable[[Tensor], Tensor]] = dict(
    zip(TRIVIAL, (mean, maximum, laplacian_max), strict=True)
)


def trivial_fusion(name: str, sources: Tensor) -> Tensor | None:
    """Return one of :func:`.presets.trivial_names` of luma (K, H, W), in 8 bits.

    None for a source that there is not.
    """
    if name in BASELINES:
        return eight_bit(BASELINES[name](sources))
    place = source_names(len(sources))
    return eight_bit(sources[place.index(name)]) if name in place else None


def eight_bit(luma: Tensor) -> Tensor:
    """Round to the 256 levels that a published result would have."""
    return luma.clamp(0, 255).round()
