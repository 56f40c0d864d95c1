"""Samples of what a source may show: how sure a restoration is.

DiffPIR (Zhu et al., CVPRW 2023, algorithm 1) with noise: over falling levels σ_i, from a guess with
noise of the first,

    x_i = argmin_c |A c - y|² / 2 + ρ_i |c - D(z_i, σ_i)|² / 2,
    z_(i+1) = x_i + σ_(i+1) (sqrt(ζ) n + sqrt(1 - ζ) (z_i - x_i) / σ_i),    n standard normal.

It takes as many evaluations as an estimate, where a sampler that differentiates the prior (PiGDM)
takes a backward pass for each, and any prior will do.

A grey source is drawn in all channels of a prior of colour, each with noise of its own, as the
prior knows noise, and their mean is what is measured: noise that all channels share is to such a
prior a part of the image, and stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from fusionkit import StartedObservation

from .splitting import closeness, falling

FIRST = 60 / 127.5
LAST = 1 / 127.5
"""The first and the last level, of images in [-1, 1]."""

FRESH = 0.3
"""ζ, how much of the noise is drawn anew. With 1 the spread is a half or a quarter of the error of
the mean; with 0.3, 1 to 0.4 times."""

Noise = Callable[[Sequence[int], int], Tensor]
"""Returns standard normal noise of a shape, keyed by an index."""


def draw(
    begun: Tensor,
    y: Tensor,
    observation: StartedObservation,
    denoise: Callable[[Tensor, Sequence[float]], Tensor],
    noise: Noise,
    *,
    levels: int,
    channels: int,
) -> Tensor:
    """Return one image, (B, C, H, W), that may have been measured so.

    Parameters
    ----------
    begun
        (B, C, H, W), the guess of it to begin with, :func:`.guesses.guess`.
    y
        (B, C, h, w) in about [-1, 1], finite everywhere.
    observation
        How it was measured of images (H, W).
    denoise
        The prior, of images with white noise.
    noise
        Called with the indices 0 to ``levels`` - 1.
    levels
        How often the prior is evaluated, for each image.
    channels
        That the prior is shown: C, or those of a prior of colour if C is 1.
    """
    sigmas = falling(FIRST, LAST, levels)
    B, C, H, W = begun.shape
    z = begun + sigmas[0] * noise((B, channels, H, W), 0)
    for i, sigma in enumerate(sigmas):
        clean = denoise(z, [sigma] * B)
        if channels != C:
            clean = clean.mean(1, keepdim=True)
        x = observation.prox(clean, y, closeness(observation, sigma))
        if i < levels - 1:
            kept = (z - x) / sigma
            fresh = noise(tuple(z.shape), i + 1)
            z = x + sigmas[i + 1] * (FRESH**0.5 * fresh + (1 - FRESH) ** 0.5 * kept)
    return x
