"""Trivial fusions, as rows to compare with: pixelwise maximum wins several tables of the field."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ..ops.borders import mirrored_index
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
    fused = torch.zeros_like(sources[0])
    level = sources
    for sigma in (1, 2, 4, 8, 16):
        smoother = gaussian_blur(sources, sigma)
        band = level - smoother
        strongest = band.abs().argmax(0, keepdim=True)
        fused = fused + band.gather(0, strongest)[0]
        level = smoother
    return fused + level.mean(0)


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


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """Blur (K, H, W) with a Gaussian cut at 4 sigma; borders mirrored, the edge repeated."""
    reach = int(4 * sigma + 0.5)
    at = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = kernel / kernel.sum()
    for axis in (-2, -1):
        size = images.shape[axis]
        index = mirrored_index(-reach, size + reach, size, images.device)
        padded = images.index_select(axis, index).movedim(axis, -1)
        blurred = functional.conv1d(padded.flatten(0, -2)[:, None], kernel[None, None])
        images = blurred.view(*padded.shape[:-1], size).movedim(-1, axis)
    return images
