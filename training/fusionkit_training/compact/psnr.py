"""Additive white Gaussian noise, and the PSNR of what a denoiser leaves of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from fusionkit.ops.similarity import psnr

Denoise = Callable[[Tensor, float], Tensor]
"""From y = x0 + sigma n (B, 3, H, W) and sigma, in units of x0 in [-1, 1], to x0."""


def clipped_psnr(estimate: Tensor, truth: Tensor) -> float:
    """Return the PSNR in dB over all pixels and channels, values in [0, 1], clipped to it.

    Neither the estimate nor its noisy input is rounded. Equal images have 100 dB.
    """
    error = (estimate.clamp(0, 1).double() - truth.double()).square().mean()
    return float(psnr(error, 1))


def noisy(image: Tensor, sigma: float, seed: int = 0, grey: bool = False) -> tuple[Tensor, float]:
    """Return an image (1, C, H, W) in [0, 1], noised, in [-1, 1], and the level of its channels.

    ``sigma`` is in levels of 255. A grey image with noise of ``sigma`` becomes three channels
    of sqrt(3) sigma, independent, which have that noisy image as their mean: a split that adds
    no information and takes none away (the mean is sufficient), and makes results comparable
    with those of denoisers for one channel.
    """
    level = sigma / 127.5 * (math.sqrt(3) if grey else 1)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(image.shape[0], 3, *image.shape[2:], generator=generator)
    return 2 * image - 1 + level * noise.to(image.device), level


def denoised_psnr(
    denoise: Denoise, image: Tensor, sigma: float, seed: int = 0, grey: bool = False
) -> float:
    """Return the PSNR after denoising an image (1, C, H, W) in [0, 1]; ``sigma`` of 255."""
    estimate = (denoise(*noisy(image, sigma, seed, grey)) + 1) / 2
    return clipped_psnr(estimate.mean(1, keepdim=True) if grey else estimate, image)
