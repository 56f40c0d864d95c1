"""The network of the weighting ``learned``: a score for every source, at every pixel.

All sources go through the same layers. They learn of each other through their mean alone,
at the input and at every level ("deep sets", Zaheer et al., arXiv 1703.06114), so any number of
them will do, and permuted sources have permuted scores.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from .planes import PLANES, planes

WIDTHS = (16, 24, 32, 24)
"""Channels at a half, a quarter, an eighth and a sixteenth of the resolution."""

MULTIPLE_OF = 16
"""What height and width must be multiples of."""

FEATURES = 5
"""Numbers that tell the network the noise level."""

LEVELS = (0.01, 157.0)
"""The noise levels s/a that are trained, the ends of DDPM's linear schedule; others are clamped."""


def level_features(sigma: Tensor) -> Tensor:
    """Return what tells the network of noise levels (B,): (B, 5), smooth in ln sigma."""
    low, high = (math.log(level) for level in LEVELS)
    place = 2 * (sigma.log().clamp(low, high) - low) / (high - low) - 1
    turns = [f(n * math.pi * place) for n in (0.5, 1) for f in (torch.sin, torch.cos)]
    return torch.stack([place, *turns], 1)


class Level(nn.Module):
    """One resolution: hear of the other sources and of the noise level, then convolve twice."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.others = _convolution(width, width, 1, 0.5)
        self.modulation = nn.Parameter(torch.zeros(2 * width, FEATURES))
        self.first = _convolution(width, width, 3)
        self.second = _convolution(width, width, 3, 0.5)

    def forward(self, x: Tensor, features: Tensor, sources: int) -> Tensor:
        """Return a tensor shaped as ``x``, (K B, C, H, W)."""
        mean = x.view(sources, -1, *x.shape[1:]).mean(0)
        gain, shift = (features @ self.modulation.mT)[:, :, None, None].chunk(2, 1)
        common = self.others(mean) + shift
        x = x * (1 + gain).repeat(sources, 1, 1, 1) + common.repeat(sources, 1, 1, 1)
        y: Tensor = self.second(self.first(x.relu()).relu())
        return x + y


class Network(nn.Module):
    """A UNet over four resolutions, of which the finest is half that of the image.

    What is lost by that is the resolution of the weights, not of the fused image: scores are
    interpolated.
    """

    def __init__(self) -> None:
        super().__init__()
        half, *coarser = WIDTHS
        self.stem = _convolution(PLANES, half, 3)
        self.shrink = nn.ModuleList(
            _convolution(a, b, 1) for a, b in zip(WIDTHS, coarser, strict=False)
        )
        self.levels = nn.ModuleList(Level(width) for width in coarser)
        self.grow = nn.ModuleList(
            _convolution(b, a, 1) for a, b in zip(WIDTHS, coarser, strict=False)
        )
        self.quarter = _convolution(coarser[0], coarser[0], 3, 0.5)
        self.finest = _convolution(half, half, 3, 0.5)
        self.head = _convolution(half, 1, 1, 0.0)  # untrained, all sources count alike

    def forward(self, sources: Tensor, x0: Tensor, sigma: Tensor) -> Tensor:
        """Return scores (K, B, 1, H, W), of which only differences between sources matter.

        Parameters
        ----------
        sources
            (K, B, 1, H, W) in [-1, 1], H and W multiples of 16.
        x0
            The clean estimate of the fused image, (B, 1, H, W).
        sigma
            The noise level s/a of each image, (B,).
        """
        K = len(sources)
        features = level_features(sigma)
        x = self.stem(planes(sources, x0))
        kept = []
        for shrink, level in zip(self.shrink, self.levels, strict=True):
            kept.append(x)
            x = level(shrink(avg_pool2d(x.relu(), 2)), features, K)
        for n in reversed(range(len(kept))):
            # After the mixing of channels, so that fewer of them are interpolated.
            x = kept[n] + interpolate(self.grow[n](x.relu()), scale_factor=2, mode="bilinear")
            if n < 2:
                x = x + (self.quarter if n == 1 else self.finest)(x.relu())
        scores = interpolate(self.head(x.relu()), scale_factor=2, mode="bilinear")
        return scores.view_as(sources)


def fusion_weights(scores: Tensor, sharpness: float = 1.0) -> Tensor:
    """Return the softmax of the scores over the sources, the first axis."""
    # By its parts: torch's own rounds otherwise where a thread's share of the image ends.
    share = (sharpness * (scores - scores.detach().amax(0))).exp()
    return share / share.sum(0)


def _convolution(inputs: int, outputs: int, size: int, gain: float = 1.0) -> nn.Conv2d:
    """Make a convolution; behind a ReLU a gain of 1 keeps the variance (He, arXiv 1502.01852)."""
    # Of one pixel, a dilated kernel is the same kernel; but torch would give a plain one to another
    # library where it computes with one thread, and the result's last bits with it.
    dilation = 2 if size == 1 else 1
    layer = nn.Conv2d(inputs, outputs, size, padding=size // 2, dilation=dilation)
    nn.init.normal_(layer.weight, std=gain * math.sqrt(2 / (inputs * size * size)))
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
