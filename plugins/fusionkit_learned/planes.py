"""What the network of ``learned`` is shown of the sources, at half their size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce

import torch
from torch import Tensor
from torch.nn.functional import pad, pixel_unshuffle

PLANES = 16
"""Channels: three maps with 2 x 2 pixels unshuffled, and four that are made at half size."""

GAIN_PLANES = 3
"""Channels of each level whose gains are shown: by itself, beside the mean, beside the largest."""

LEAST_GAIN = 1e-4
"""Added to gains: squared differences of neighbours, of values in [-1, 1]."""

LEAST = 0.01
"""Added to contrasts, of values in [-1, 1]: about a grey level of 8 bits."""


def planes(sources: Tensor, gains: Tensor | None = None) -> Iterator[Tensor]:
    """Yield (B, 16 + 3 L, H/2, W/2) for one source after the other.

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
    mean = mean_of(sources.unbind())
    sharper = sharpening(mean)
    power = _halved(sharper.square(), 10)
    halves = [[log_contrast(source) for source in sources.unbind()]]
    if gains is not None:
        halves.append([((gain + LEAST_GAIN).log() + 5) / 3 for gain in gains.unbind()])
    common = [(mean_of(each), largest_of(each)) for each in halves]
    for k, source in enumerate(sources.unbind()):
        apart = source - mean
        maps = [pixel_unshuffle(whole, 2) for whole in (source, apart, apart.abs())]
        beside = [
            [each[k], each[k] - middle, each[k] - most]
            for each, (middle, most) in zip(halves, common, strict=True)
        ]
        beside[0].append(detail_or_noise(apart, sharper, power))
        yield torch.cat([*maps, *(half for each in beside for half in each)], 1)


def mean_of(each: Sequence[Tensor]) -> Tensor:
    """Return the mean over K tensors."""
    total = each[0].clone()
    for one in each[1:]:
        total += one
    return total / len(each)


def largest_of(each: Sequence[Tensor]) -> Tensor:
    """Return the largest value of each place over K tensors."""
    return reduce(torch.maximum, each)


def log_contrast(images: Tensor) -> Tensor:
    """Return the logarithm of the mean absolute Laplacian over 6 x 6 pixels, about -1 to 1.

    (B, 1, H/2, W/2) from (B, 1, H, W).
    """
    return (_halved(laplacian(images).abs_(), 6) + LEAST).log() / 2 + 1


def sharpening(mean: Tensor) -> Tensor:
    """Return minus the Laplacian of the mean of the sources smoothed over 3 x 3 pixels."""
    height, width = mean.shape[-2:]
    around = pad(mean, (1, 1, 1, 1), mode="replicate")
    smooth = around[..., :height, :width].clone()
    for place in range(1, 9):
        down, right = divmod(place, 3)
        smooth += around[..., down : down + height, right : right + width]
    return laplacian(smooth.div_(9)).neg_()


def detail_or_noise(apart: Tensor, sharper: Tensor, power: Tensor) -> Tensor:
    """Return how far a source's difference to the mean of all sharpens that: -1 to 1.

    The correlation, over 10 x 10 pixels, of c_k - m with minus the Laplacian of m smoothed over
    3 x 3 pixels, m the mean of the sources. What defocus takes away looks like that Laplacian,
    since the fine structure of images goes with the coarser. White noise does not: the Laplacian
    of the 3 x 3 mean has no weight at its centre, so that it is not correlated with the noise of
    the pixel itself. (For a photograph beside itself blurred by one or three pixels it was 0.44
    and 0.59, for one beside itself with noise of 10 or 40 grey levels 0.00.)

    Parameters
    ----------
    apart
        (B, 1, H, W), c_k - m.
    sharper
        (B, 1, H, W), :func:`sharpening` of m.
    power
        (B, 1, H/2, W/2), the mean of its square over the window.

    Returns
    -------
    Tensor
        (B, 1, H/2, W/2).
    """
    both = power * _halved(apart.square(), 10)
    return _halved(apart * sharper, 10) / (both.sqrt_() + LEAST**2)


def laplacian(images: Tensor) -> Tensor:
    """Return the 5-point Laplacian of (N, 1, H, W), the border replicated."""
    around = pad(images, (1, 1, 1, 1), mode="replicate")
    beside = around[..., 1:-1, :-2] + around[..., 1:-1, 2:]
    above = around[..., :-2, 1:-1] + around[..., 2:, 1:-1]
    return beside + above - 4 * images


def _halved(maps: Tensor, window: int) -> Tensor:
    """Return means over windows (even), two pixels apart, over what lies inside the image.

    Height and width are even, as half the window is odd: it consists of whole blocks of 2 x 2.
    """
    # Rows, then columns: fewer additions than all at once.
    return _smoothed(_smoothed(quartered(maps), window // 2, -2), window // 2, -1)


def _smoothed(maps: Tensor, side: int, dim: int) -> Tensor:
    """Return means over windows (odd) along one dimension, over what lies inside the image."""
    # Place by place, a tenth of the time of avg_pool2d, which sums in the same order.
    reach, length = side // 2, maps.shape[dim]
    around = pad(maps, (reach, reach) if dim == -1 else (0, 0, reach, reach))
    total = around.narrow(dim, 0, length).clone()
    for place in range(1, side):
        total += around.narrow(dim, place, length)
    at = torch.arange(length, device=maps.device)
    inside = (at + reach).clamp_(max=length - 1) - (at - reach).clamp_(min=0) + 1
    return total.div_(inside if dim == -1 else inside[:, None])


def quartered(maps: Tensor) -> Tensor:
    """Return means over blocks of 2 x 2 pixels, of (..., H, W), both even."""
    # By sums, which take a third of the time of avg_pool2d.
    rows = maps[..., ::2, :] + maps[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]).mul_(0.25)
