"""What lies beside an outline in a focus stack, where no source is sharp.

Beside the outline of a nearer layer its blurred light spreads over what lies behind it, in the
source that is focused there; in the other source, what lies behind is blurred itself. With a the
source that is sharp on the nearer layer, S where that layer is, b the source that is sharp behind,
and h the blur of the nearer layer in b, all in linear light,

    b = h * (S a) + (1 - h * S) r,    so    r = (b - h * (S a)) / (1 - h * S)

is what lies behind, sharp. For a pair of sources, in either order, the blurs are those that fit
best where one source alone is sharp, of Gaussians and discs; S is moved along its own normal by
what makes both sources, put together again from a and r, most like what they are; and r is taken
where that leaves little of what the two differ by. Two sources at a time, since few outlines have
more than two layers at hand.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from fusionkit import box_mean, image_mean

from .differences import cosine_transform, inverse_cosine_transform

DEVIATIONS = tuple(0.5 * 2 ** (n / 4) for n in range(17))
"""Standard deviations of blur that are tried, in pixels along each axis: 0.5 to 8."""

LEFT = 0.05
"""No more may be left unexplained, as a share of the squared difference of two sources."""

SEEN_THROUGH = 0.35
"""What is covered by more than the rest of this is not divided by, but filled from beside it."""

MOVES = ((-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0), (-1.0, -0.5, 0.0, 0.5, 1.0))
"""By how many pixels an outline is moved, first and then; by less where the blur is below 3."""

AROUND_IT = 5
"""Side in pixels of the window whose darkest and brightest values bound what is restored."""

AROUND = 2.0
"""Standard deviation in pixels of the blur that tells how far from its outline a pixel is."""

TINY = 1e-6


class Blur(NamedTuple):
    """The blur of a layer: standard deviation (N, 1, 1, 1), and 1 for a disc, 0 for a Gaussian."""

    deviation: Tensor
    disc: Tensor


def restored_outlines(sources: Tensor, weights: Tensor, fused: Tensor) -> Tensor:
    """Return a fusion of a focus stack with what lies beside outlines restored.

    Parameters
    ----------
    sources
        (K, B, C, H, W) in [-1, 1], coded by sRGB's transfer curve.
    weights
        (K, B, 1, H, W): the source with the largest is taken for the one in focus.
    fused
        (B, C, H, W).

    Returns
    -------
    Tensor
        (B, C, H, W).
    """
    # Image by image: Fourier transforms of several at once are rounded otherwise on some CPUs.
    each = (torch.split(x, 1, dim) for x, dim in ((sources, 1), (weights, 1), (fused, 0)))
    return torch.cat([_restored(*image) for image in zip(*each, strict=True)])


def _restored(sources: Tensor, weights: Tensor, fused: Tensor) -> Tensor:
    """Return :func:`restored_outlines` of one image."""
    light = _linear(sources)
    chosen = weights.argmax(0)
    result, least = fused, torch.full_like(weights[0], LEFT)
    for pair in combinations(range(len(sources)), 2):
        own = [(chosen == source).to(sources) for source in pair]
        # Pixels near the other's, where blurs are told.
        near = box_mean(box_mean(own[0], 41), 41) * box_mean(box_mean(own[1], 41), 41) > 1e-3
        a, b = (light[source] for source in pair)
        blurs = _blur_of(a, b, own[0] * near), _blur_of(b, a, own[1] * near)
        for front in (0, 1):
            images = (a, b) if front == 0 else (b, a)
            found, left = _behind(
                *images, own[front], own[0] + own[1], blurs[front], blurs[1 - front]
            )
            better = left < least
            result = torch.where(better, _coded(_as_around(found, a, b)), result)
            least = torch.where(better, left, least)
    return result


def _as_around(found: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Bound what was found by the darkest and the brightest that either source shows around it.

    Where the model is not quite right, dividing by what is seen through enlarges the difference.
    """
    brightest = max_pool2d(torch.maximum(a, b), AROUND_IT, 1, AROUND_IT // 2)
    darkest = -max_pool2d(-torch.minimum(a, b), AROUND_IT, 1, AROUND_IT // 2)
    return torch.minimum(torch.maximum(found, darkest), brightest)


def _behind(
    a: Tensor, b: Tensor, own: Tensor, both: Tensor, of_near: Blur, of_far: Blur
) -> tuple[Tensor, Tensor]:
    """Return the fusion if a shows the nearer layer, and how much that leaves unexplained."""
    within = torch.minimum(of_near.deviation, of_far.deviation).div(3).clamp(max=1)
    away = _distance(own)
    for moves in MOVES:
        costs, gains = [], away.new_tensor(moves).view(-1, 1, 1, 1, 1) * within
        for move in gains:
            image, error = _put_together(_moved(away, move, both), both, a, b, of_near, of_far)
            costs.append(_around(error * both / (image.mean(1, keepdim=True) + 0.02)))
        cost = torch.stack(costs)
        best = cost.argmin(0, keepdim=True)
        move = gains.expand_as(cost).gather(0, best)[0]
        # Places where it matters decide for those around them where it does not.
        sure = cost[len(moves) // 2] - cost.amin(0) + 1e-12
        away = away + _around(move * sure) / _around(sure)
    cover = _moved(away, 0, both)
    image, error = _put_together(cover, both, a, b, of_near, of_far)
    scale = both / (image.mean(1, keepdim=True) + 0.02)
    apart = (a - b).square().mean(1, keepdim=True)
    left = (_around(error * scale) + TINY / 10) / (_around(apart * scale) + TINY)
    spread = _blurred(cover, Blur(of_near.deviation.clamp(min=1.5), of_near.disc))
    beside = (spread > 0.02) & (spread < 0.98) & (both > 0)
    # Away from third layers, and where both blurs were told.
    beside &= box_mean(box_mean(both, 7), 7) > 0.995
    told = torch.isfinite(of_near.deviation + of_far.deviation)
    return image, torch.where(beside & told, left, torch.inf)


def _put_together(
    cover: Tensor, both: Tensor, a: Tensor, b: Tensor, of_near: Blur, of_far: Blur
) -> tuple[Tensor, Tensor]:
    """Return the fusion, and how far two sources made of it are from what they are, squared."""
    spread = _blurred(torch.cat([cover, cover * a], 1), of_near)
    through = 1 - spread[:, :1]
    clear = ((b - spread[:, 1:]) / through.clamp(min=SEEN_THROUGH)).clamp(0, 1)
    share = (both - cover) * (through / SEEN_THROUGH).clamp(0, 1)
    shown = torch.cat([share, share * clear], 1)
    close, wide = (box_mean(box_mean(shown, window), window) for window in (5, 21))
    beside = torch.where(
        close[:, :1] > 1e-3,
        close[:, 1:] / close[:, :1].clamp(min=1e-4),
        wide[:, 1:] / wide[:, :1].clamp(min=TINY),
    )
    behind = share * clear + (1 - share) * beside
    first = cover * a + (1 - cover) * _blurred(behind, of_far)
    second = spread[:, 1:] + through * behind
    error = ((first - a).square() + (second - b).square()).mean(1, keepdim=True)
    return cover * a + (1 - cover) * behind, error


def _blur_of(sharp: Tensor, blurred: Tensor, where: Tensor) -> Blur:
    """Return the blur that makes one image most like another in a region (B, 1, H, W)."""
    seen = _spectrum(torch.cat([where, where * sharp], 1))
    size = image_mean(where, (1, 2, 3), keepdim=True)
    errors, blurs = [], []
    for tried in DEVIATIONS:
        for kind in (0.0, 1.0):
            blur = Blur(size.new_full(size.shape, tried), size.new_full(size.shape, kind))
            found = _image(seen * _gain(seen, blur))
            inside = where * (found[:, :1] > 0.97)
            error = inside * (found[:, 1:] / found[:, :1].clamp(min=0.5) - blurred).square()
            count = image_mean(inside, (1, 2, 3), keepdim=True)
            mean = image_mean(error, (1, 2, 3), keepdim=True) / (count + 1e-9)
            errors.append(torch.where(count > 0.05 * size, mean, torch.inf))
            blurs.append(blur)
    least, best = torch.stack(errors).min(0)
    place = best[None]
    deviation = torch.stack([blur.deviation for blur in blurs]).gather(0, place)[0]
    disc = torch.stack([blur.disc for blur in blurs]).gather(0, place)[0]
    return Blur(deviation.masked_fill(torch.isinf(least), torch.inf), disc)


def _distance(own: Tensor) -> Tensor:
    """Return how far inside a region a pixel is, in pixels, up to about four of either sign."""
    deviation = own.new_full((len(own), 1, 1, 1), AROUND)
    share = _blurred(own, Blur(deviation, torch.zeros_like(deviation)))
    distance: Tensor = AROUND * torch.special.ndtri(share.clamp(0.02, 0.98))
    return distance


def _moved(away: Tensor, by: Tensor | float, both: Tensor) -> Tensor:
    """Return the cover of a region whose outline is moved outwards, its edge a pixel wide."""
    return (away + by + 0.5).clamp(0, 1) * both


def _around(maps: Tensor) -> Tensor:
    return box_mean(box_mean(maps, 13), 13)


def _blurred(images: Tensor, blur: Blur) -> Tensor:
    spectrum = _spectrum(images)
    return _image(spectrum * _gain(spectrum, blur))


def _gain(like: Tensor, blur: Blur) -> Tensor:
    """Return what blurs multiply the cosine transform of an image by, (N, 1, H, W)."""
    down, along = (
        math.pi / side * torch.arange(side, dtype=like.dtype, device=like.device)
        for side in like.shape[-2:]
    )
    squared = down[:, None].square() + along.square()
    # Where no blur was told, some number: what comes of it is not taken.
    deviation = blur.deviation.nan_to_num(posinf=1.0)
    gaussian = (-0.5 * deviation.square() * squared).exp()
    at = (2 * deviation * squared.sqrt()).clamp(min=1e-3)
    disc = 2 * torch.special.bessel_j1(at) / at
    return torch.where(blur.disc > 0, disc, gaussian)


def _spectrum(images: Tensor) -> Tensor:
    return cosine_transform(cosine_transform(images).mT).mT


def _image(spectrum: Tensor) -> Tensor:
    return inverse_cosine_transform(inverse_cosine_transform(spectrum.mT).mT)


def _linear(coded: Tensor) -> Tensor:
    """Return light in [0, 1] of values in [-1, 1] (IEC 61966-2-1)."""
    value = (coded / 2 + 0.5).clamp(0, 1)
    return torch.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _coded(light: Tensor) -> Tensor:
    light = light.clamp(0, 1)
    value = torch.where(
        light <= 0.0031308, 12.92 * light, 1.055 * light.clamp(min=TINY) ** (1 / 2.4) - 0.055
    )
    return 2 * value - 1
