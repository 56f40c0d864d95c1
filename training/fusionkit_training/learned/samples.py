"""What the network is trained on: degraded sources, a noise level, a clean estimate, the answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from fusionkit_learned.network import LEVELS
from torch import Tensor

from .crops import Photographs
from .degradations import CHOOSING, ROTATION, TASTE, degrade, smooth_fields
from .draw import Draw
from .filters import blur, gaussian_matrix

SOURCES = ((2, 0.6), (3, 0.25), (4, 0.15))
"""How many sources a batch has, and its share."""

FINE = 0.65
"""Share of noise levels below 1.2, where a clean estimate shows structures of a few pixels."""


@dataclass(frozen=True)
class Batch:
    """B samples of K sources, values in [-1, 1].

    Attributes
    ----------
    sources
        (K, B, 1, S, S).
    fusion
        (B, 1, S, S): the right answer.
    x0
        (B, 1, S, S): a clean estimate of the fused image, such as a run may have.
    sigma
        (B,): its noise level.
    band
        (B, 1, S, S): the matrices that blur an image as far as can be told at this level.
    brightness
        (B,): how much the brightness of the answer counts, beside its gradients.
    choosing
        (B,): 1 where one source is the best at each pixel, in a way that can be told, else 0.
    """

    sources: Tensor
    fusion: Tensor
    x0: Tensor
    sigma: Tensor
    band: Tensor
    brightness: Tensor
    choosing: Tensor


def band_deviation(sigma: Tensor) -> Tensor:
    """Return how many pixels a clean estimate at these levels is blurred by, as a Gaussian.

    A prior with a power spectrum A / f² passes f where A / f² > sigma²: for photographs (a
    deviation of 0.5 over 256 pixels, A = 0.008) up to 0.09 / sigma cycles a pixel, which a
    Gaussian of deviation 2 sigma halves. Above 32, crops show nothing any more.
    """
    return (2 * sigma).clamp(max=32)


def draw_batch(photographs: Photographs, count: int, size: int, seed: int, step: int) -> Batch:
    """Return the batch of one step: a function of (seed, step)."""
    draw = Draw(seed, step)
    u = draw.uniform()
    K = next((k for n, (k, _) in enumerate(SOURCES) if u < sum(s for _, s in SOURCES[: n + 1])), 2)
    families = [ROTATION[(step * count + n) % len(ROTATION)] for n in range(count)]
    pairs = [degrade(name, photographs.crop(size, draw), K, draw) for name in families]
    return assemble(pairs, families, draw_levels(count, draw), draw)


def assemble(
    pairs: Sequence[tuple[Tensor, Tensor]], families: Sequence[str], sigma: Tensor, draw: Draw
) -> Batch:
    """Make a batch of sources (K, S, S) and fusions (S, S) in [0, 1], at levels (B,)."""
    sources = 2 * torch.stack([pair[0] for pair in pairs], 1)[:, :, None] - 1
    fusion = 2 * torch.stack([pair[1] for pair in pairs])[:, None] - 1
    band = gaussian_matrix(fusion.shape[-1], band_deviation(sigma))[:, None]
    return Batch(
        sources=sources,
        fusion=fusion,
        x0=clean_estimate(sources, fusion, sigma, draw),
        sigma=sigma,
        band=band,
        brightness=torch.tensor([0.5 if name in TASTE else 2.0 for name in families]),
        choosing=torch.tensor([float(name in CHOOSING) for name in families]),
    )


def draw_levels(count: int, draw: Draw) -> Tensor:
    """Return noise levels (B,), one from each of B equal shares of their distribution."""
    order = torch.randperm(count, generator=draw.generator)
    u = (order + draw.tensor(count)) / count
    low, middle, high = (math.log(level) for level in (LEVELS[0], 1.2, LEVELS[1]))
    fine = low + (middle - low) * u / FINE
    coarse = middle + (high - middle) * (u - FINE) / (1 - FINE)
    return torch.where(u < FINE, fine, coarse).exp()


def clean_estimate(sources: Tensor, fusion: Tensor, sigma: Tensor, draw: Draw) -> Tensor:
    """Return clean estimates (B, 1, S, S) of what a run may have fused so far.

    A mean of the sources, equal (as in a provisional step) or with smooth random weights, in
    half of the cases on its way to the right answer; blurred about as a denoiser does. It is
    rarely right, so that the network does not learn to repeat what it is shown: in a run, x0 is
    what its own weights have led to.
    """
    K, B, _, S, _ = sources.shape
    fields = torch.stack([smooth_fields(K, S, draw) for _ in range(B)], 1)[:, :, None]
    sharpness = 4 * draw.tensor(B, 1, 1, 1) * (draw.tensor(B, 1, 1, 1) < 0.5)
    mixture = (torch.softmax(sharpness * fields, 0) * sources).sum(0)
    right = draw.tensor(B, 1, 1, 1) * (draw.tensor(B, 1, 1, 1) < 0.5)
    unsure = torch.exp(0.4 * draw.normal(B))
    spread = gaussian_matrix(S, band_deviation(sigma * unsure))[:, None]
    return blur(torch.lerp(mixture, fusion, right), spread)
