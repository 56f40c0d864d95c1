"""What to do with the lowest band, where there are no edges to weigh a source by."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionkit import box_mean, weighted_sum

WELL_EXPOSED = 0.4
"""Standard deviation of the well-exposedness curve, of values in [-1, 1]: 0.2 in [0, 1]
(Mertens, Kautz and Van Reeth, "Exposure fusion", Pacific Graphics 2007, section 3.1)."""

FLOOR = 1e-12
"""Keeps the shares of featureless images equal where they would be zero."""

HIDDEN_WINDOW = 41
"""Pixels; two means of this side smooth like a Gaussian of standard deviation 17."""

TONE_SHARE = 0.25
"""Side of the window that ``tone`` smooths over, of the shorter side of the image."""

RULES = ("weights", "mean", "max", "exposure", "tone", "saliency")


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
        the squared distance from the image's own mean.

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
    here = present.to(bands.dtype).expand(-1, -1, 1, *bands.shape[-2:])
    if rule == "mean":
        share = here
    elif rule in ("exposure", "tone"):
        share = here * (-bands.square().mean(2, keepdim=True) / (2 * WELL_EXPOSED**2)).exp()
        if rule == "tone":
            window = int(TONE_SHARE * min(bands.shape[-2:])) // 2 * 2 + 1
            share = box_mean(box_mean(share / share.sum(0), window), window)
    else:
        distance = bands - bands.mean((-2, -1), keepdim=True)
        share = here * (distance.square().mean(2, keepdim=True) + FLOOR)
    return weighted_sum(share, bands) / share.sum(0)


def hidden_structure(sources: Tensor, weights: Tensor) -> Tensor:
    """Return what the brightest source hides: the others' mean without its local mean.

    The local mean is one over HIDDEN_WINDOW, twice: shades wider than that are not structure.
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
    smooth = box_mean(box_mean(others, HIDDEN_WINDOW), HIDDEN_WINDOW)
    return (others - smooth) * (present.sum(0) > 1)
