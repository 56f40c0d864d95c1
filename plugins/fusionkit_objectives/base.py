"""What to do with the lowest band, where there are no edges to weigh a source by."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionkit import weighted_sum

WELL_EXPOSED = 0.4
"""Standard deviation of the well-exposedness curve, of values in [-1, 1]: 0.2 in [0, 1]
(Mertens, Kautz and Van Reeth, "Exposure fusion", Pacific Graphics 2007, section 3.1)."""

FLOOR = 1e-12
"""Keeps the shares of featureless images equal where they would be zero."""

RULES = ("weights", "mean", "max", "exposure", "saliency")


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
        exp(-v² / (2 * 0.4²)), which prefers mid-grey. ``saliency``: a mean weighted by
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
    elif rule == "exposure":
        share = here * (-bands.square().mean(2, keepdim=True) / (2 * WELL_EXPOSED**2)).exp()
    else:
        distance = bands - bands.mean((-2, -1), keepdim=True)
        share = here * (distance.square().mean(2, keepdim=True) + FLOOR)
    return weighted_sum(share, bands) / share.sum(0)
