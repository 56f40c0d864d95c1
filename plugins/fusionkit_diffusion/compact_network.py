"""The compact prior's network: a norm-free, bias-free residual UNet, and its preconditioning.

A noisy image is y = x0 + sigma n, with x0 in [-1, 1] and n standard normal. In the notation
of Karras et al. (EDM, arXiv 2206.00364, section 5), the denoiser is

    D(y; sigma) = c_skip(sigma) y + c_out(sigma) F(c_in(sigma) y, sigma)

and F is the network. A variance-preserving image x = a x0 + s n is y = x / a at sigma = s / a.

With r = sqrt(sigma² + sigma_data²), sin = sigma / r and cos = sigma_data / r, the network's
input u and what F is to predict, v, are a rotation of the clean image and its noise:

    u = cos x0 / sigma_data + sin n,    v = sin x0 / sigma_data - cos n

so both have unit variance where x0 has sigma_data, v can be written down without
cancellation, and so can the noise that an estimate of v means: n = sin u - cos v. (v is
the "velocity" of Salimans and Ho, arXiv 2202.00512.)
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from fusionkit import empty_network

FEATURES = 7
"""Numbers that tell the network the noise level."""

GAIN_RATE = 5.0
"""Adam moves every weight by about the learning rate; gains have further to go than kernels."""

SMALL = 20480
"""Values up to which torch convolves an image that is alone in its batch by code of its own."""

PIXELWISE = ("stem", "head")
"""The modules of a network whose convolutions have pixels for inputs or outputs."""


@dataclass(frozen=True)
class Architecture:
    """What the shape of the network depends on.

    Attributes
    ----------
    widths
        Channels of each level, finest first; each level has half the resolution.
    blocks
        Residual blocks of a level, on the way down and again on the way up.
    stem
        The factor by which pixels are unshuffled into channels before the first level.
    channels
        Of the image.
    sigma_data
        Root mean square of the training images' values, about 0.5 for photographs in [-1, 1].
    """

    widths: tuple[int, ...] = (64, 128, 192, 160)
    blocks: int = 2
    stem: int = 2
    channels: int = 3
    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        sizes = (*self.widths, self.blocks, self.stem, self.channels)
        whole = all(type(size) is int and 1 <= size <= 4096 for size in sizes)
        if not whole or not 1 <= len(self.widths) <= 8 or not 0 < self.sigma_data < math.inf:
            raise ValueError(f"no network has {asdict(self)}")

    @property
    def multiple_of(self) -> int:
        """What height and width must be multiples of."""
        return int(self.stem * 2 ** (len(self.widths) - 1))


class Preconditioning(NamedTuple):
    """The coefficients of EDM's table 1 at given noise levels, shaped as these."""

    skip: Tensor
    out: Tensor
    into: Tensor


def preconditioning(sigma: Tensor, sigma_data: float) -> Preconditioning:
    """Return c_skip, c_out and c_in."""
    variance = sigma**2 + sigma_data**2
    root = variance.sqrt()
    return Preconditioning(sigma_data**2 / variance, sigma * sigma_data / root, 1 / root)


def rotation(sigma: Tensor, sigma_data: float) -> tuple[Tensor, Tensor]:
    """Return sin and cos of the module's docstring: the shares of noise and of image."""
    root = (sigma**2 + sigma_data**2).sqrt()
    return sigma / root, sigma_data / root


def level_features(sigma: Tensor, sigma_data: float) -> Tensor:
    """Return what tells the network of noise levels (B,): (B, 7), smooth in ln sigma.

    Of the first three, one resolves low levels, one high ones, and one all of them;
    the others are two harmonics of that.
    """
    sin, cos = rotation(sigma, sigma_data)
    place = (sin / cos).log() / 4  # from -1 to 1.4 over the levels that are trained
    turns = [f(n * math.pi * place) for n in (1, 2) for f in (torch.sin, torch.cos)]
    return torch.stack([sin, cos, place, *turns], 1)


class Convolution(nn.Conv2d):
    """A convolution that rounds an image alike in any batch, and with any number of threads.

    On a CPU, torch gives convolutions to oneDNN, but for those that its own code is thought to be
    faster at: those of one small image, and others (:func:`_convolution`).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', H, W) of ``x`` (B, C, H, W)."""
        if len(x) == 1 and x.numel() <= SMALL and x.device.type == "cpu":
            return super().forward(torch.cat([x, x]))[:1]
        return super().forward(x)


class Residual(nn.Module):
    """x + conv(relu(conv(x))): no norm, no bias, no activation on the trunk."""

    def __init__(self, width: int, gain: float) -> None:
        super().__init__()
        self.first = _convolution(width, width, 3, math.sqrt(2))
        self.second = _convolution(width, width, 3, gain)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor shaped as ``x``."""
        # In place: each pass over memory costs about a third of a convolution.
        branch: Tensor = self.second(self.first(x).relu_())
        return branch.add_(x)


class Gain(nn.Module):
    """Channels multiplied by what the noise level says: 1 + W features, W zero to begin with.

    To predict noise of unit variance, the network has to amplify weak noise by up to 1 / sin = 50,
    and to open and close its levels; layers without norm or bias are slow to learn
    such products from constant planes (measured: 4 dB behind after 300 steps).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width, FEATURES))

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """Return ``x`` (B, C, H, W), scaled."""
        # Summed for each image by itself: a matrix product's rounding depends on the batch.
        gain = 1 + GAIN_RATE * (features[:, None] * self.weight).sum(-1)
        return x * gain[:, :, None, None].to(x.dtype)


class Network(nn.Module):
    """F: from u and the noise level to v.

    Pixels are unshuffled into channels; the noise level joins them as constant planes, and
    scales the channels wherever a level is entered or left. There are no biases: F is
    homogeneous in (u, planes) together (Mohan et al., arXiv 1906.05478, on why
    that generalises across levels). Resolution is changed by (un)shuffling and a 1x1
    convolution; skips are added, not concatenated.
    """

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.arch = arch
        folded = arch.channels * arch.stem**2
        first, last = arch.widths[0], arch.widths[-1]
        total = arch.blocks * (2 * len(arch.widths) - 1)
        gain = 1 / math.sqrt(total)  # the trunk's variance about doubles over all blocks

        def blocks(width: int) -> nn.Sequential:
            return nn.Sequential(*(Residual(width, gain) for _ in range(arch.blocks)))

        self.stem = _convolution(folded + FEATURES, first, 3)
        self.down = nn.ModuleList(blocks(width) for width in arch.widths[:-1])
        self.shrink = nn.ModuleList(
            _convolution(4 * a, b, 1) for a, b in zip(arch.widths, arch.widths[1:], strict=False)
        )
        self.middle = blocks(last)
        self.enter = nn.ModuleList(Gain(width) for width in arch.widths)
        self.leave = nn.ModuleList(Gain(width) for width in arch.widths)
        self.grow = nn.ModuleList(
            _convolution(b, 4 * a, 1) for a, b in zip(arch.widths, arch.widths[1:], strict=False)
        )
        self.up = nn.ModuleList(blocks(width) for width in arch.widths[:-1])
        self.head = _convolution(first, folded, 3, 0.0)  # an untrained F is zero, so D = c_skip y

    def forward(self, u: Tensor, features: Tensor) -> Tensor:
        """Return the estimate of v for ``u`` (B, C, H, W) and ``features`` (B, 7)."""
        folded = pixel_unshuffle(u, self.arch.stem)
        planes = features[:, :, None, None].expand(-1, -1, *folded.shape[-2:])
        x: Tensor = self.stem(_dense(torch.cat([folded, planes], 1)))
        kept = []
        for level, blocks in enumerate(self.down):
            x = blocks(self.enter[level](x, features))
            kept.append(x)
            x = self.shrink[level](_dense(pixel_unshuffle(x, 2)))
        x = self.leave[-1](self.middle(self.enter[-1](x, features)), features)
        for level in reversed(range(len(kept))):
            x = _dense(pixel_shuffle(self.grow[level](x), 2)) + kept[level]
            x = self.leave[level](self.up[level](x), features)
        return pixel_shuffle(self.head(x), self.arch.stem)


class Denoiser(nn.Module):
    """D: the network between its preconditioning.

    The preconditioning is computed in the dtype of the image, float32 or float64,
    whatever the network's weights are in.
    """

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.arch = arch
        self.network = Network(arch)

    def velocity(self, u: Tensor, sigma: Tensor) -> Tensor:
        """Return F(u, sigma), the estimate of v, in the dtype of ``u``; ``sigma`` is (B,)."""
        features = level_features(sigma, self.arch.sigma_data)
        dtype = self.network.stem.weight.dtype
        estimate: Tensor = self.network(_dense(u.to(dtype)), features.to(dtype))
        return estimate.to(u.dtype)

    def forward(self, y: Tensor, sigma: Tensor) -> Tensor:
        """Return the clean estimate of ``y`` (B, C, H, W), image b at level ``sigma[b]``."""
        c = preconditioning(sigma.to(y.dtype), self.arch.sigma_data)
        v = self.velocity(column(c.into) * y, sigma.to(y.dtype))
        return column(c.skip) * y + column(c.out) * v


def column(values: Tensor) -> Tensor:
    """Shape (B,) values so that they multiply images (B, C, H, W)."""
    return values.view(-1, 1, 1, 1)


def count_parameters(arch: Architecture) -> int:
    """Return the number of weights."""
    with empty_network():
        return sum(p.numel() for p in Network(arch).parameters())


@lru_cache(maxsize=32)
def forward_flops(arch: Architecture, height: int, width: int) -> int:
    """Return the operations of the convolutions of one forward pass of one image.

    A multiplication and an addition count as two; what is no convolution (ReLU,
    sums, reshuffling: under 1%) is left out.
    """
    total = 0

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d)
        total += 2 * layer.weight[0].numel() * output.numel()

    with empty_network():
        network = Network(arch)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_hook(count)
        with torch.no_grad():
            network(torch.empty(1, arch.channels, height, width), torch.empty(1, FEATURES))
    return total


def _convolution(inputs: int, outputs: int, size: int, gain: float = 1.0) -> nn.Conv2d:
    """Make a convolution without bias; a gain of 1 keeps the variance (He, arXiv 1502.01852)."""
    # Of one pixel, a dilated kernel is the same kernel; but a plain one goes to torch's own code
    # where there is one thread.
    dilation = 2 if size == 1 else 1
    layer = Convolution(inputs, outputs, size, padding=size // 2, dilation=dilation, bias=False)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(inputs * size * size))
    return layer


def _dense(x: Tensor) -> Tensor:
    """Return it in channels_last layout, which the convolutions are fastest in."""
    return x.contiguous(memory_format=torch.channels_last)
