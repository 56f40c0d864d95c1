"""How far a fusion is from the right answer, as far as the noise level lets that be told."""

from __future__ import annotations

import torch
from fusionkit_learned.network import fusion_weights
from torch import Tensor
from torch.nn.functional import avg_pool2d, log_softmax

from .filters import blur, gaussian_blur, gradients
from .samples import Batch, band_deviation

FLOOR = 0.01
"""Differences below this, a grey level of 8 bits or so, are not worth much."""

CHOICE = 0.15
"""Weight of the choice of a source, beside the fused image."""


def training_loss(scores: Tensor, batch: Batch) -> Tensor:
    """Return the loss of each sample, (B,), from scores (K, B, 1, S, S)."""
    weights = fusion_weights(scores)
    fused = (weights * batch.sources).sum(0)
    found = distance(fused, batch)
    # As a share of what the plain mean leaves, all families and noise levels count alike.
    plain = distance(batch.sources.mean(0), batch)
    return found / (plain + FLOOR) + CHOICE * batch.choosing * choice(scores, batch)


def distance(fused: Tensor, batch: Batch) -> Tensor:
    """Compare images (B, 1, S, S) with the right answer at a sample's band: (B,).

    Both are blurred as a clean estimate at the noise level is (by one blur: it is linear). Then
    the mean of |d|, as much as brightness counts, and of its gradients at two scales, which count
    detail; these are multiplied by the blur's width, about by which gradients fall.
    """
    difference = blur(fused - batch.fusion, batch.band)
    total = batch.brightness * difference.abs().mean((1, 2, 3))
    width = 1 + band_deviation(batch.sigma)
    for scaled in (difference, avg_pool2d(difference, 2)):
        total = total + width * sum(g.abs().mean((1, 2, 3)) for g in gradients(scaled))
    return total


def choice(scores: Tensor, batch: Batch) -> Tensor:
    """Return the cross-entropy of choosing the best source, (B,), where there is one.

    The best is the one with the least error at the sample's band, averaged around the pixel; a
    pixel counts by how much worse the second is.
    """
    with torch.no_grad():
        errors = blur(batch.sources - batch.fusion, batch.band).square()
        errors = gaussian_blur(errors, 2.0).clamp(min=0).sqrt()
        (least, second), order = errors.topk(2, 0, largest=False)
        clear = (second - least) / (second + least + FLOOR)
    logs = log_softmax(scores, 0).gather(0, order[:1])[0]
    surprise: Tensor = -(clear * logs).mean((1, 2, 3))
    return surprise
