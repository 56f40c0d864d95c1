"""What a training does when: noise levels, their weights in the loss, learning rate, crop size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import plan

LEVELS = (0.01, 1.2, 157.0)
"""Noise levels are log-uniform between the first two; a share of them between the last two. The
ends are those of DDPM's linear schedule, so that a sampler asks for no level never trained."""

TAIL = 0.15
"""That share. Above 1.2 little but the lowest frequencies of an image can be told."""

BINS = 24

FAR = 10.0
"""What counts as an outlier among the losses of one level."""

STAGES = ((0.0, 1.0), (0.6, 1.5), (0.85, 2.0))
"""(from this progress on, crops are this much larger): context matters for strong noise, and
small crops make fast progress first. The pixels of a batch stay about the same."""


def draw_levels(count: int, generator: torch.Generator) -> Tensor:
    """Return noise levels (B,), one from each of B equal shares of their distribution.

    Stratified, a batch's gradient depends less on which levels it happened to get.
    """
    device = generator.device
    order = torch.randperm(count, generator=generator, device=device)
    u = (order + torch.rand(count, generator=generator, device=device)) / count
    low, middle, high = (math.log(level) for level in LEVELS)
    body = low + (middle - low) * u / (1 - TAIL)
    tail = middle + (high - middle) * (u - (1 - TAIL)) / TAIL
    return torch.where(u < 1 - TAIL, body, tail).exp()


class LevelWeights:
    """Weights of the loss that make every noise level count alike, in decibels.

    EDM's weighting, 1 / c_out², is the squared error of F. It is near 1 where noise
    is hardly noticeable or all there is, and about 0.05 at the levels that denoisers are
    judged by, which would then hardly be learned. Dividing by the running mean of the loss
    of the same level minimises the mean *logarithm* of the error, that is the mean PSNR over
    levels (the same end as the learned uncertainty of Karras et al.,
    arXiv 2312.02696, section 2, with bins instead of a network). The weight
    depends on the level alone, never on the image, so the optimum at each level is still
    the posterior mean, which a diffusion prior needs: PSNR as a loss
    (a logarithm per image), or L1, would change it. The exception are images whose loss is beyond
    FAR times the mean, which no image has by nature: at high learning rates the network
    at times amplifies one without bound. They count FAR times a usual one, and hardly in the mean.

    Attributes
    ----------
    mean
        (BINS,) running means over bins of ln sigma; 1 to begin with, as an untrained F has.
    """

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self.mean = torch.ones(BINS, device=device)

    def __call__(self, sigma: Tensor, losses: Tensor) -> Tensor:
        """Return the weights (B,) of these images, and learn from their ``losses`` (B,)."""
        low, high = math.log(LEVELS[0]), math.log(LEVELS[-1])
        bins = ((sigma.log() - low) / (high - low) * BINS).long().clamp(0, BINS - 1)
        usual = self.mean[bins]
        weights = (1 / usual).minimum(FAR / losses).clamp(max=1e4)
        zeros = torch.zeros_like(self.mean)
        counts = zeros.index_add(0, bins, torch.ones_like(losses))
        sums = zeros.index_add(0, bins, losses.minimum(2 * usual))
        # Each image has a weight of 1% in its bin's mean.
        kept = 0.99**counts
        self.mean = kept * self.mean + (1 - kept) * sums / counts.clamp(min=1)
        return weights


@dataclass(frozen=True)
class Plan(plan.Plan):
    """A plan whose crops grow by STAGES; ``crop`` and ``batch`` are those of the first."""

    peak: float = 8e-4
    crop: int = 64
    batch: int = 16

    def crops(self, progress: float, multiple: int) -> tuple[int, int]:
        """Return the crops of a batch and their size, a multiple of what the network needs."""
        growth = max(factor for since, factor in STAGES if progress >= since)
        size = max(multiple, round(self.crop * growth / multiple) * multiple)
        return max(1, round(self.batch * (self.crop / size) ** 2)), size

    def largest(self, multiple: int) -> int:
        """Return the size of the last stage's crops."""
        return self.crops(1.0, multiple)[1]
