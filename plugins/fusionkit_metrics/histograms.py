"""Entropies in bits, of grey levels rounded to the nearest of 0 ... 255."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEVELS = 256
_LEAST = 1e-30


def levels(images: Tensor) -> Tensor:
    """Round (N, H, W) luma to whole grey levels, (N, H·W) int32."""
    return images.round().clamp_(0, LEVELS - 1).int().flatten(1)


def stretched(images: Tensor) -> Tensor:
    """Stretch each image to 0 ... 255, and round; a constant one becomes black."""
    low = images.amin((-2, -1), keepdim=True)
    span = images.amax((-2, -1), keepdim=True) - low
    return ((images - low) * (255 / span.where(span > 0, 1.0))).round_()


def entropy(grey: Tensor) -> Tensor:
    """Entropy H of the grey levels (N, P) of each image, (N,)."""
    return bits(counts(grey, LEVELS))


def pairs(first: Tensor, second: Tensor) -> Tensor:
    """Count the pairs of grey levels (N, P) of two images: (N, 256, 256), the first's in rows."""
    return counts(first * LEVELS + second, LEVELS**2).view(-1, LEVELS, LEVELS)


def counts(values: Tensor, bins: int) -> Tensor:
    """Count the values 0 ... bins - 1 in each row: (N, P) to (N, bins)."""
    return torch.stack([torch.bincount(row, minlength=bins) for row in values])


def bits(counts: Tensor) -> Tensor:
    """Entropy -Σ p log2 p, where 0 log 0 = 0, of what was counted in each of N, (N,)."""
    p = counts.flatten(1).double()
    p /= p.sum(1, keepdim=True)
    nats = -(p * p.clamp_min(_LEAST).log_()).sum(1)
    return nats / math.log(2)
