"""Sources with noise of their own: what the prior, and the other sources, say they show.

A diffusion prior is a denoiser for every noise level, so a source that is noisy itself,
y_k = c_k + σ_k n, is an image that the prior knows: its clean estimate is E[c_k | y_k]. That
uses one source at a time. What the others show of the same scene is used by a second estimate,
of what they do not foretell:

    q_k = what a local linear model of the other sources' estimates says of y_k,
    d_k = q_k + D(y_k - q_k, σ_k),

D the prior. Where one exposure foretells the other, y_k - q_k is almost noise alone, and d_k keeps
detail that the first estimate lost; where sources show different things, the
first estimate is the better one, and is kept:

    α_k = 1 / (1 + max(0, G(y_k - q_k)² / σ_k² - 1)),   ĉ_k = α_k d_k + (1 - α_k) E[c_k | y_k],

G the mean over a window: α is near 1 where the residual holds no more than the noise.
The local linear model is that of the guided filter (He, Sun, Tang, IEEE Trans. Pattern Anal.
Mach. Intell. 35, 2013, 1397-1409, eq. 5 to 8); several guides share by the inverse of what they
leave unexplained.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..ops.windows import box_mean
from .evaluator import Evaluator

WINDOW = 31
"""Side of the windows in which one source is a linear function of another."""

FLOOR = 0.01
"""Contrast of a guide that is taken for nothing, of values in [-1, 1]: 1.3 grey levels."""


class Denoiser:
    """The prior of a pipeline, as a denoiser of images at any level.

    Parameters
    ----------
    evaluator
        Pads, splits into tiles, and counts.
    channels
        Those that the estimator takes at once.
    """

    def __init__(self, evaluator: Evaluator, channels: int) -> None:
        self._evaluator = evaluator
        self._channels = channels

    def __call__(self, y: Tensor, sigmas: Sequence[float], fresh: Tensor) -> Tensor:
        """Return clean estimates of images at known noise levels.

        Parameters
        ----------
        y
            (M, C, H, W) in about [-1, 1], C the estimator's channels or 1.
        sigmas
            (M,) standard deviations, > 0, in units of y: 25 of 255 is 25 / 127.5.
        fresh
            Standard normal, (M, channels, H, W), to split grey images by: a colour
            prior knows noise that differs between channels, so a grey image becomes C
            channels of sqrt(C) sigma, whose mean it is (a sufficient statistic: nothing
            is added, and nothing lost).
        """
        if y.shape[1] == self._channels:
            return self._evaluator.clean(y, sigmas)
        widening = math.sqrt(self._channels)
        spread = fresh - fresh.mean(1, keepdim=True)
        split = y + widening * _column(sigmas, y) * spread
        clean = self._evaluator.clean(split, [sigma * widening for sigma in sigmas])
        return clean.mean(1, keepdim=True)


def clean_sources(
    sources: Tensor, sigmas: Sequence[float], denoise: Denoiser, fresh: Tensor
) -> Tensor:
    """Return the sources without their noise; those that have none unchanged.

    Parameters
    ----------
    sources
        (K, B, C, H, W) in [-1, 1].
    sigmas
        (K,) standard deviations in units of the sources, >= 0.
    denoise
        The prior; each noisy source takes two evaluations.
    fresh
        Standard normal, (B, channels, H, W), what grey images are split by: one for all
        sources, so that their order cannot matter.
    """
    noisy = [k for k, sigma in enumerate(sigmas) if sigma > 0]
    if not noisy:
        return sources
    B = sources.shape[1]
    of_each = [sigmas[k] for k in noisy for _ in range(B)]
    fresh = fresh.to(sources).repeat(len(noisy), 1, 1, 1)
    y = sources[noisy]
    first = sources.clone()
    first[noisy] = denoise(y.flatten(0, 1), of_each, fresh).view_as(y)

    foretold = torch.stack([_foretold(k, sources[k], first, sigmas) for k in noisy])
    left = y - foretold
    second = foretold + denoise(left.flatten(0, 1), of_each, fresh).view_as(y)
    power = _mean(left.square().mean(-3, keepdim=True))
    variance = torch.tensor([sigmas[k] ** 2 for k in noisy]).to(y).view(-1, 1, 1, 1, 1)
    trust = 1 / (1 + (power / variance - 1).clamp(min=0))
    first[noisy] = torch.lerp(first[noisy], second, trust)
    return first


def _foretold(k: int, y: Tensor, clean: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Return q_k (B, C, H, W) of source y by the estimates (K, B, C, H, W) of all others."""
    total, norm = torch.zeros_like(y), torch.zeros_like(y)
    for j, guide in enumerate(clean):
        if j == k:
            continue
        # What is left of the guide's noise must not be taken for structure either.
        prediction = _local_linear(y, guide, FLOOR**2 + 0.03 * sigmas[j] ** 2)
        certainty = 1 / _mean((y - prediction).square()).clamp(min=FLOOR**2)
        total += certainty * prediction
        norm += certainty
    return total / norm


def _local_linear(y: Tensor, guide: Tensor, floor: float) -> Tensor:
    """Return the linear function of the guide that fits y best, window by window, averaged."""
    mean_guide, mean_y = _mean(guide), _mean(y)
    covariance = _mean(guide * y) - mean_guide * mean_y
    slope = covariance / (_mean(guide.square()) - mean_guide.square() + floor)
    offset = mean_y - slope * mean_guide
    return _mean(slope) * guide + _mean(offset)


def _mean(maps: Tensor) -> Tensor:
    return box_mean(maps, WINDOW)


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values).to(like).view(-1, 1, 1, 1)
