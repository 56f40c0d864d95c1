"""What to do with the lowest band, where there are no edges to weigh a source by."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionkit import box_mean, image_mean, weighted_sum

WELL_EXPOSED = 0.4
"""Standard deviation of the well-exposedness curve, of values in [-1, 1]: 0.2 in [0, 1]
(Mertens, Kautz and Van Reeth, "Exposure fusion", Pacific Graphics 2007, section 3.1)."""

FLOOR = 1e-12
"""Keeps the shares of featureless images equal where they would be zero."""

HIDDEN_WINDOW = 41
"""Pixels; two means of this side smooth like a Gaussian of standard deviation 17."""

NOTHING = 1e-6
"""Contrast that is rounding and no structure, of values in [-1, 1]."""

TONE_SHARE = 0.25
"""Side of the window that ``tone`` smooths over, of the shorter side of the image."""

RULES = ("weights", "mean", "max", "exposure", "tone", "saliency", "contrast")


def fused_base(bands: Tensor, weights: Tensor, rule: str) -> Tensor:
    """Fuse the lowest bands of K sources.

    A source whose weights are zero all over the image counts in no rule.

    Parameters
    ----------
    bands
        (K, B, C, H, W) in about [-1, 1].
    weights
        (K, B, 1, H, W), >= 0, summing to 1 over K.
    rule
        ``weights``: their weighted mean. ``mean``: the plain mean. ``max``: the largest value
        of each pixel and channel, which keeps hot objects hot. ``exposure``: a mean weighted by
        exp(-v² / (2 * 0.4²)), which prefers mid-grey. ``tone``: the same, its shares averaged
        twice over a window of a quarter of the shorter side, so that places and
        not pixels are well exposed, and contrast stays. ``saliency``: a mean weighted by
        the squared distance from the image's own mean. ``contrast``: the plain mean, with as much
        contrast as the source that has most (:func:`contrast_restored`).

    Returns
    -------
    Tensor
        (B, C, H, W).
    """
    if rule == "weights":
        return weighted_sum(weights, bands)
    present = weights.amax((-2, -1), keepdim=True) > 0
    if rule == "max":
        return bands.masked_fill(~present, -torch.inf).amax(0)
    if rule == "contrast":
        return contrast_restored(bands, present)
    here = present.to(bands.dtype).expand(-1, -1, 1, *bands.shape[-2:])
    if rule == "mean":
        share = here
    elif rule in ("exposure", "tone"):
        share = here * (-bands.square().mean(2, keepdim=True) / (2 * WELL_EXPOSED**2)).exp()
        if rule == "tone":
            window = int(TONE_SHARE * min(bands.shape[-2:])) // 2 * 2 + 1
            share = box_mean(box_mean(share / share.sum(0), window), window)
    else:
        distance = bands - image_mean(bands, keepdim=True)
        share = here * (distance.square().mean(2, keepdim=True) + FLOOR)
    return weighted_sum(share, bands) / share.sum(0)


def contrast_restored(bands: Tensor, present: Tensor) -> Tensor:
    """Return the mean of the sources with the contrast that a mean loses.

    With a the mean of the sources, ā its mean over the image, and var the variance over the image,

        b = ā + g (a - ā),    g = sqrt(max_k var(c_k) / var(a)), from 1 to K:

    shades that only one source has are halved in a mean of two, and come back. Where b is
    brighter than the brightest source c by e, it becomes c + e r / (e + r), r what is left from c
    to the brightest value of all, so that nothing is clipped; and so for the darkest.
    Of equal sources it is the source.

    Parameters
    ----------
    bands
        (K, B, C, H, W).
    present
        (K, B, 1, 1, 1), which of them count.

    Returns
    -------
    Tensor
        (B, C, H, W).
    """
    count = present.sum(0)
    mean = bands.masked_fill(~present, 0).sum(0) / count
    centre = image_mean(mean, keepdim=True)
    spread = image_mean((bands - image_mean(bands, keepdim=True)).square(), keepdim=True)
    most = spread.mean(2, keepdim=True).masked_fill(~present, 0).amax(0)
    own = image_mean((mean - centre).square(), keepdim=True).mean(1, keepdim=True)
    gain = (most / own.clamp_min(FLOOR)).sqrt().clamp_min(1).minimum(count.to(mean.dtype))
    restored = centre + gain * (mean - centre)
    brightest = bands.masked_fill(~present, -torch.inf).amax(0)
    darkest = bands.masked_fill(~present, torch.inf).amin(0)
    lightest, deepest = brightest.amax((-2, -1), keepdim=True), darkest.amin((-2, -1), keepdim=True)
    above = _within(restored - brightest, lightest - brightest)
    below = _within(darkest - restored, darkest - deepest)
    return restored.minimum(brightest).maximum(darkest) + above - below


def _within(excess: Tensor, room: Tensor) -> Tensor:
    """Return e r / (e + r), which is nearly e where that is small, and less than r."""
    excess = excess.clamp_min(0)
    return excess * room / (excess + room).clamp_min(FLOOR)


def hidden_structure(sources: Tensor, weights: Tensor) -> Tensor:
    """Return what the brightest source hides: structure of the others that it does not show.

    With d what is left of an image without its local mean (over HIDDEN_WINDOW, twice: shades wider
    than that are not structure), b the largest value and o the mean of the others at each pixel,

        d(o) - s d(b),    s = G(d(o) d(b)) / G(d(b)²), clipped to [-1, 1],

    G the same local mean. s d(b) is what of d(o) the brightest source shows itself, be it inverted:
    nothing is left where the sources agree, and all of d(o) where they show different things.
    A source whose weights are zero all over the image counts as little as in :func:`fused_base`.

    Parameters
    ----------
    sources, weights
        As for :func:`fused_base`.

    Returns
    -------
    Tensor
        (B, C, H, W), about zero in the mean.
    """
    present = weights.amax((-2, -1), keepdim=True) > 0
    brightest = sources.masked_fill(~present, -torch.inf).amax(0)
    others = (sources.masked_fill(~present, 0).sum(0) - brightest) / (present.sum(0) - 1).clamp(1)
    hidden, shown = others - _local(others), brightest - _local(brightest)
    power = _local(shown.square()).clamp_min(NOTHING**2)
    common = (_local(hidden * shown) / power).clamp(-1, 1)
    return hidden.addcmul_(common, shown, value=-1) * (present.sum(0) > 1)


def kept_dark(
    image: Tensor, sources: Tensor, weights: Tensor, gain: float, least: Tensor | None = None
) -> Tensor:
    """Return an image that shows no light where no source has any.

    With m the darkest value of all sources and pixels of an image and channel, and b the brightest
    source of each pixel,

        min(image, m + gain (b - m)):

    where every source is as dark as m, the result is m, and near to it hardly brighter than they
    are; where one is half as bright as white, or more, a gain of 2 bounds nothing. Brightness that
    gradients spread into a black ground ends there.
    A source whose weights are zero all over the image counts as little as in :func:`fused_base`.

    Parameters
    ----------
    image
        (B, C, H, W).
    sources, weights
        As for :func:`fused_base`.
    gain
        1 or more.
    least
        (K, B, C, 1, 1), the least value of each source, where these are parts of larger images.

    Returns
    -------
    Tensor
        (B, C, H, W).
    """
    absent = weights.amax((-2, -1), keepdim=True) <= 0
    if least is None:
        least = sources.amin((-2, -1), keepdim=True)
    darkest = least.masked_fill(absent, torch.inf).amin(0)
    brightest = torch.full_like(sources[0], -torch.inf)
    for source, none in zip(sources.unbind(), absent.unbind(), strict=True):
        brightest = torch.maximum(brightest, torch.where(none, brightest, source))
    return torch.minimum(image, darkest + gain * (brightest - darkest))


def _local(image: Tensor) -> Tensor:
    return box_mean(box_mean(image, HIDDEN_WINDOW), HIDDEN_WINDOW)
