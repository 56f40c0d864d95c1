"""How far a fusion is from the right answer."""

from __future__ import annotations

import torch
from fusionkit_learned.network import fusion_weights
from fusionkit_objectives.differences import (
    Gradient,
    gradient,
    gradient_transposed,
    weighted_gradient,
)
from torch import Tensor
from torch.nn.functional import log_softmax

from .filters import cosines, gaussian_blur
from .samples import Batch

PSI = 2.0
"""Weight of gradients beside values in the objective of the multi-focus recipe."""

FLOOR = (0.5 / 127.5) ** 2
"""Added to squared errors, of values in [-1, 1]: half a grey level of 8 bits, which is rounding."""

CHOICE = 0.15
"""Weight of the choice of a source, beside the fused image."""

SIZE = 3e-4
"""Weight of the squared differences of scores, lest weights are sooner decided than right."""

COARSE = 8.0
"""Where brightness is a matter of taste, what a Gaussian of this many pixels passes is left out."""


def training_loss(scores: Tensor, batch: Batch) -> Tensor:
    """Return the loss of each sample, (B,), from scores (K, B, 1, S, S).

    The logarithm of the mean squared error of the fused image: PSNR, in units of 4.3 dB.
    """
    found = squared_error(fused(fusion_weights(scores), batch.sources), batch)
    size = (scores - scores.mean(0)).square().mean((0, 2, 3, 4))
    chosen = CHOICE * batch.choosing * choice(scores, batch)
    return (found + FLOOR).log() + chosen + SIZE * size


def fused(weights: Tensor, sources: Tensor) -> Tensor:
    """Return what the objective ``gradients`` makes of weights, (B, 1, S, S).

    Base ``weights``: T = b + (1 + psi ∇ᵀ∇)⁻¹ psi ∇ᵀ (Σ w ∇c - ∇b), b = Σ w c.
    """
    base = (weights * sources).sum(0)
    wanted, own = weighted_gradient(weights, sources), gradient(base)
    lacking = gradient_transposed(Gradient(*(w - o for w, o in zip(wanted, own, strict=True))))
    basis, frequency = (part.to(base.device) for part in cosines(base.shape[-1]))
    along = 2 - 2 * torch.cos(2 * torch.pi * frequency)
    spectrum = basis @ lacking @ basis.mT
    spectrum = PSI * spectrum / (1 + PSI * (along[:, None] + along))
    return base + basis.mT @ spectrum @ basis


def squared_error(image: Tensor, batch: Batch) -> Tensor:
    """Return the mean squared error of images (B, 1, S, S), (B,)."""
    error = image - batch.fusion
    free = batch.taste.view(-1, 1, 1, 1)
    if free.any():
        error = error - free * gaussian_blur(error, COARSE)
    return error.square().mean((1, 2, 3))


def choice(scores: Tensor, batch: Batch) -> Tensor:
    """Return the cross-entropy of choosing the best source, (B,), where there is one.

    The best is the one with the least error averaged around the pixel; a pixel counts by how much
    worse the second is.
    """
    with torch.no_grad():
        errors = gaussian_blur((batch.sources - batch.fusion).square(), 2.0).clamp(min=0).sqrt()
        (least, second), order = errors.topk(2, 0, largest=False)
        clear = (second - least) / (second + least + 0.01)
    logs = log_softmax(scores, 0).gather(0, order[:1])[0]
    surprise: Tensor = -(clear * logs).mean((1, 2, 3))
    return surprise
