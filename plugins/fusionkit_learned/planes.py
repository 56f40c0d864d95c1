"""What the network of ``learned`` is shown of the sources, at half their size."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad, pixel_unshuffle

PLANES = 16
"""Channels: three maps with 2 x 2 pixels unshuffled, and four that are made at half size."""

GAIN_PLANES = 3
"""Channels of each level whose gains are shown: by itself, beside the mean, beside the largest."""

LEAST_GAIN = 1e-4
"""Added to gains: squared differences of neighbours, of values in [-1, 1]."""

LEAST = 0.01
"""Added to contrasts, of values in [-1, 1]: about a grey level of 8 bits."""


def planes(sources: Tensor, gains: Tensor | None = None) -> Tensor:
    """Return (K B, 16 + 3 L, H/2, W/2), a source of an image after the other.

    Of each source: itself; its difference to the mean of all, and that as a magnitude; the
    logarithm of its contrast, by itself, beside the mean over sources and beside the largest;
    and whether its difference to the mean looks like detail or noise
    (:func:`detail_or_noise`). The contrasts begin where classical saliency ends: a softmax of
    multiples of the logarithm is a power of the contrast. Of gains the same three logarithms.

    Parameters
    ----------
    sources
        (K, B, 1, H, W) in [-1, 1], H and W even.
    gains
        (K, B, L, H/2, W/2), >= 0, at L noise levels; None for L = 0.
    """
    apart = sources - sources.mean(0)
    whole = torch.cat([sources, apart, apart.abs()], 2).flatten(0, 1)
    contrast = log_contrast(sources)
    beside = [contrast - contrast.mean(0), contrast - contrast.amax(0)]
    halves = torch.cat([contrast, *beside, detail_or_noise(sources)], 2)
    if gains is not None:
        known = ((gains + LEAST_GAIN).log() + 5) / 3
        halves = torch.cat([halves, known, known - known.mean(0), known - known.amax(0)], 2)
    return torch.cat([pixel_unshuffle(whole, 2), halves.flatten(0, 1)], 1)


def log_contrast(images: Tensor) -> Tensor:
    """Return the logarithm of the mean absolute Laplacian over 6 x 6 pixels, about -1 to 1.

    (K, B, 1, H/2, W/2) from (K, B, 1, H, W).
    """
    contrast = _halved(laplacian(images.flatten(0, 1)).abs(), 6) + LEAST
    return (contrast.log() / 2 + 1).view(*images.shape[:2], *contrast.shape[1:])


def detail_or_noise(sources: Tensor) -> Tensor:
    """Return how far a source's difference to the mean of all sharpens that: -1 to 1.

    The correlation, over 10 x 10 pixels, of c_k - m with minus the Laplacian of m smoothed over
    3 x 3 pixels, m the mean of the sources. What defocus takes away looks like that Laplacian,
    since the fine structure of images goes with the coarser. White noise does not: the Laplacian
    of the 3 x 3 mean has no weight at its centre, so that it is not correlated with the noise of
    the pixel itself. (For a photograph beside itself blurred by one or three pixels it was 0.44
    and 0.59, for one beside itself with noise of 10 or 40 grey levels 0.00.)

    (K, B, 1, H/2, W/2) from (K, B, 1, H, W).
    """
    K, B, _, H, W = sources.shape
    mean = sources.mean(0)
    smooth = avg_pool2d(pad(mean, (1, 1, 1, 1), mode="replicate"), 3, 1)
    sharper = -laplacian(smooth)
    apart = sources - mean
    product = _halved((apart * sharper).flatten(0, 1), 10)
    power = _halved(apart.square().flatten(0, 1), 10).view(K, B, 1, H // 2, W // 2)
    power = power * _halved(sharper.square(), 10)
    return product.view_as(power) / (power.sqrt() + LEAST**2)


def laplacian(images: Tensor) -> Tensor:
    """Return the 5-point Laplacian of (N, 1, H, W), the border replicated."""
    around = pad(images, (1, 1, 1, 1), mode="replicate")
    beside = around[..., 1:-1, :-2] + around[..., 1:-1, 2:]
    above = around[..., :-2, 1:-1] + around[..., 2:, 1:-1]
    return beside + above - 4 * images


def _halved(maps: Tensor, window: int) -> Tensor:
    """Return means over windows (even), two pixels apart, over what lies inside the image."""
    margin = window // 2 - 1
    # Rows, then columns: 2w additions instead of w².
    rows = avg_pool2d(maps, (window, 1), (2, 1), (margin, 0), count_include_pad=False)
    return avg_pool2d(rows, (1, window), (1, 2), (0, margin), count_include_pad=False)
