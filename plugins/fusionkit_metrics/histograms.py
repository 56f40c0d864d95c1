"""Entropies in bits, of grey levels rounded to the nearest of 0 ... 255."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEVELS = 256


def levels(images: Tensor) -> Tensor:
    """Round (N, H, W) luma to whole grey levels, (N, H·W) int64."""
    return images.round().clamp(0, LEVELS - 1).long().flatten(1)


def stretched(images: Tensor) -> Tensor:
    """Stretch each image to 0 ... 255, and round; a constant one becomes black."""
    low = images.amin((-2, -1), keepdim=True)
    span = images.amax((-2, -1), keepdim=True) - low
    return ((images - low) * (255 / span.where(span > 0, 1.0))).round_()


def entropy(grey: Tensor) -> Tensor:
    """Entropy H of the grey levels (N, P) of each image, (N,)."""
    return _bits(counts(grey, LEVELS), grey.shape[1])


def joint_entropy(first: Tensor, second: Tensor) -> Tensor:
    """Entropy H of the pairs of grey levels (N, P) of two images, (N,)."""
    return _bits(counts(first * LEVELS + second, LEVELS**2), first.shape[1])


def counts(values: Tensor, bins: int) -> Tensor:
    """Count the values 0 ... bins - 1 in each row: (N, P) to (N, bins)."""
    rows = torch.arange(values.shape[0], device=values.device)[:, None]
    flat = (values + rows * bins).flatten()
    return torch.bincount(flat, minlength=values.shape[0] * bins).view(-1, bins)


def _bits(counts: Tensor, total: int) -> Tensor:
    """-Σ p log2 p, where 0 log 0 = 0."""
    nats: Tensor = torch.special.entr(counts.double() / total).sum(1)
    return nats / math.log(2)
