"""The network of the weighting ``learned``: a score for every source, at every pixel.

All sources go through the same layers. They learn of each other through the mean and the
largest value of each channel over them, at every level (Zaheer et al., "Deep sets", arXiv
1703.06114; Qi et al., "PointNet", arXiv 1612.00593), so any number of them will do, and
permuted sources have permuted scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.backends import mkldnn
from torch.nn.functional import interpolate

from .planes import GAIN_PLANES, PLANES, largest_of, mean_of, planes, quartered

WIDTHS = (16, 32, 48, 48, 48)
"""Channels at a half, a quarter ... a thirty-second of the resolution."""

MULTIPLE_OF = 32
"""What height and width must be multiples of."""

SCATTERED = 2**26
"""Bytes of the finest maps up to which each source's may lie anywhere."""

ONEDNN = bool(mkldnn.is_available())  # type: ignore[no-untyped-call]
"""Whether PyTorch has it here."""


class Block(nn.Module):
    """At one resolution: hear of the other sources, then convolve twice."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.others = _convolution(2 * width, width, 1, 0.5)
        self.first = _convolution(width, width, 3)
        self.second = _convolution(width, width, 3, 0.5)

    def forward(self, each: list[Tensor]) -> list[Tensor]:
        """Return tensors shaped as those of the K sources, (B, C, H, W) each, which it takes."""
        common = self.others(torch.cat([mean_of(each), largest_of(each)], 1))
        return [self._convolved(x + common) for x in taken(each)]

    def _convolved(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(x.relu()).relu_())
        return y.add_(x)


class Network(nn.Module):
    """A UNet over five resolutions, of which the finest is half that of the image.

    What is lost by that is the resolution of the weights, not of the fused image: scores are
    interpolated. The coarsest sees more than a hundred pixels to each side: where an image is
    flat, what is in focus there is known from its surroundings alone.

    Parameters
    ----------
    levels
        Of how many noise levels it is shown the sources' information gains; 0 for a network that
        is shown the sources alone.
    """

    def __init__(self, levels: int = 0) -> None:
        super().__init__()
        self.levels = levels
        finest, *coarser = WIDTHS
        steps = list(zip(WIDTHS, coarser, strict=False))
        self.stem = _convolution(PLANES + GAIN_PLANES * levels, finest, 3)
        self.shrink = nn.ModuleList(_convolution(a, b, 1) for a, b in steps)
        self.down = nn.ModuleList(Block(width) for width in coarser)
        self.grow = nn.ModuleList(_convolution(b, a, 1) for a, b in steps)
        self.up = nn.ModuleList(Block(width) for width in WIDTHS[1:-1])
        self.finest = _convolution(finest, finest, 3, 0.5)
        self.head = _convolution(finest, 1, 1, 0.0)  # untrained, all sources count alike

    def forward(self, sources: Tensor, gains: Tensor | None = None) -> Tensor:
        """Return scores (K, B, 1, H, W), of which only differences between sources matter.

        Parameters
        ----------
        sources
            (K, B, 1, H, W) in [-1, 1], H and W multiples of 32.
        gains
            (K, B, L, H/2, W/2), the sources' information gains at L levels.
        """
        return torch.stack(list(self.scores(sources, gains)))

    def scores(self, sources: Tensor, gains: Tensor | None = None) -> Iterator[Tensor]:
        """Yield those of one source after another, (B, 1, H, W); arguments as of a call."""
        # Source after source: their maps together would be too large for the caches, and for the
        # memory that a process keeps.
        each = together((self.stem(shown) for shown in planes(sources, gains)), len(sources))
        kept = []
        for shrink, block in zip(self.shrink, self.down, strict=True):
            kept.append(each)
            each = block([shrink(quartered(x.relu())) for x in each])
        for n in reversed(range(1, len(kept))):
            pairs = zip(taken(each), taken(kept.pop()), strict=True)
            each = self.up[n - 1]([self._grown(n, x, finer) for x, finer in pairs])
        pairs = zip(taken(each), taken(kept.pop()), strict=True)
        yield from (self._score(x, finest) for x, finest in pairs)

    def _grown(self, n: int, x: Tensor, finer: Tensor) -> Tensor:
        # After the mixing of channels, so that fewer of them are interpolated.
        grown = interpolate(self.grow[n](x.relu()), scale_factor=2, mode="bilinear")
        return grown.add_(finer)

    def _score(self, x: Tensor, finest: Tensor) -> Tensor:
        x = self._grown(0, x, finest)
        x = self.finest(x.relu()).add_(x)
        return interpolate(self.head(x.relu_()), scale_factor=2, mode="bilinear")


def together(each: Iterator[Tensor], count: int) -> list[Tensor]:
    """Return maps, of tall stacks in one piece of memory.

    Many pieces that are kept leave holes between them, where other maps lay for a while: a tenth of
    what the network holds.
    """
    kept: list[Tensor] = []
    for n, one in enumerate(each):
        if one.requires_grad or count * one.nbytes <= SCATTERED:
            kept.append(one)
            continue
        if not kept:
            beside = one.is_contiguous(memory_format=torch.channels_last)
            whole = torch.empty(
                (count * len(one), *one.shape[1:]),
                dtype=one.dtype,
                device=one.device,
                memory_format=torch.channels_last if beside else torch.contiguous_format,
            )
            kept = [*torch.split(whole, len(one))]
        kept[n].copy_(one)
    return kept


def taken(each: list[Tensor]) -> Iterator[Tensor]:
    """Yield tensors of a list that nobody else needs: each is let go of before the next."""
    each.reverse()
    while each:
        yield each.pop()


def fusion_weights(scores: Tensor, sharpness: float = 1.0) -> Tensor:
    """Return the softmax of the scores over the sources, the first axis."""
    # By its parts: torch's own rounds otherwise where a thread's share of the image ends.
    share = (sharpness * (scores - scores.detach().amax(0))).exp()
    return share / share.sum(0)


def to_fusion_weights(scores: Tensor, sharpness: float = 1.0) -> Tensor:
    """Return the same as :func:`fusion_weights` in the memory of the scores; without gradients."""
    share = scores.sub_(scores.amax(0)).mul_(sharpness).exp_()
    return share.div_(share.sum(0))


class _Convolution(nn.Conv2d):
    """A convolution that oneDNN computes on a CPU, whatever the size of the image.

    torch would give small images to another library where it computes with one thread, and the
    result's last bits with them.
    """

    def forward(self, x: Tensor) -> Tensor:
        single = x.dtype == self.weight.dtype == torch.float32
        plain = x.ndim == 4 and not torch.compiler.is_compiling()
        if x.device.type == "cpu" and single and plain and ONEDNN:
            padding = [side // 2 for side in self.kernel_size]
            return torch.mkldnn_convolution(
                x, self.weight, self.bias, padding, self.stride, self.dilation, self.groups
            )
        return super().forward(x)


def _convolution(inputs: int, outputs: int, size: int, gain: float = 1.0) -> nn.Conv2d:
    """Make a convolution; behind a ReLU a gain of 1 keeps the variance (He, arXiv 1502.01852)."""
    layer = _Convolution(inputs, outputs, size, padding=size // 2)
    nn.init.normal_(layer.weight, std=gain * math.sqrt(2 / (inputs * size * size)))
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
