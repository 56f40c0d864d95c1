"""The ablated diffusion model's U-Net, with the parameter names of OpenAI's checkpoints.

Dhariwal and Nichol, Diffusion Models Beat GANs on Image Synthesis, arXiv 2105.05233.
B images, C channels at some depth, H x W pixels, E the width of the time embedding.

The torso, which is everything between the first and the last convolution, may
compute in half precision; input, norms, embeddings and output stay in full.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

GROUPS = 32
"""Groups of every group norm, so that all widths are multiples of it."""


@dataclass(frozen=True)
class Architecture:
    """What distinguishes one ADM network from another. Levels go from fine to coarse.

    Attributes
    ----------
    base
        Channels that the time embedding is made of (OpenAI's ``num_channels``).
    widths
        Channels at each level, ``num_channels * channel_mult``; each level halves the image.
    blocks
        Residual blocks of a level on the way down; one more on the way up.
    attention
        Whether the blocks of each level are followed by attention (``attention_resolutions``
        32, 16, 8 of a 256 x 256 model are its levels 3, 4, 5).
    head_channels
        Channels of one attention head.
    attention_order
        How the channels of q, k and v are laid out: ``legacy`` has those of a head
        together, ``new`` (``use_new_attention_order``) those of q, of k and of v.
    residual_resampling
        Sizes are changed within residual blocks (``resblock_updown``), not by convolutions.
    scale_shift
        The time embedding scales and shifts the normalised activations
        (``use_scale_shift_norm``), instead of being added to them.
    channels_in, channels_out
        Of the image, and of the estimate: twice as many where the variance is learned.
    """

    base: int = 256
    widths: tuple[int, ...] = (256, 256, 512, 512, 1024, 1024)
    blocks: int = 2
    attention: tuple[bool, ...] = (False, False, False, True, True, True)
    head_channels: int = 64
    attention_order: Literal["legacy", "new"] = "legacy"
    residual_resampling: bool = True
    scale_shift: bool = True
    channels_in: int = 3
    channels_out: int = 6


class ADMNetwork(nn.Module):
    """The network: (B, channels_in, H, W) and (B,) time steps to (B, channels_out, H, W).

    H and W are multiples of 2^(levels - 1).
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        arch = architecture
        self._base = arch.base
        E = 4 * arch.base
        self.time_embed = nn.Sequential(nn.Linear(arch.base, E), nn.SiLU(), nn.Linear(E, E))
        levels = range(len(arch.widths))
        width = arch.widths[0]

        def stage(level: int, width_in: int) -> list[nn.Module]:
            """Return a residual block, and attention where the level has it."""
            width_out = arch.widths[level]
            layers: list[nn.Module] = [ResBlock(width_in, width_out, E, arch.scale_shift)]
            if arch.attention[level]:
                layers.append(AttentionBlock(width_out, arch.head_channels, arch.attention_order))
            return layers

        def resampling(width: int, way: Literal["down", "up"]) -> nn.Module:
            if arch.residual_resampling:
                return ResBlock(width, width, E, arch.scale_shift, way)
            return Downsample(width) if way == "down" else Upsample(width)

        self.input_blocks = nn.ModuleList([nn.ModuleList([_conv(arch.channels_in, width)])])
        skipped = [width]
        for level in levels:
            for _ in range(arch.blocks):
                self.input_blocks.append(nn.ModuleList(stage(level, width)))
                width = arch.widths[level]
                skipped.append(width)
            if level != levels[-1]:
                self.input_blocks.append(nn.ModuleList([resampling(width, "down")]))
                skipped.append(width)

        self.middle_block = nn.ModuleList(
            [
                ResBlock(width, width, E, arch.scale_shift),
                AttentionBlock(width, arch.head_channels, arch.attention_order),
                ResBlock(width, width, E, arch.scale_shift),
            ]
        )

        self.output_blocks = nn.ModuleList()
        for level in reversed(levels):
            for block in range(arch.blocks + 1):
                layers = stage(level, width + skipped.pop())
                width = arch.widths[level]
                if level and block == arch.blocks:
                    layers.append(resampling(width, "up"))
                self.output_blocks.append(nn.ModuleList(layers))

        self.out = nn.Sequential(Norm(width), nn.SiLU(), _conv(width, arch.channels_out))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the estimate of the noise and, after it, what is learned of the variance."""
        embedding = self.time_embed(time_features(t, self._base, x.dtype))
        first, *blocks = self.input_blocks
        h = _through(first, x, embedding).to(next(self.torso_convolutions()).weight.dtype)
        skipped = [h]
        for block in blocks:
            h = _through(block, h, embedding)
            skipped.append(h)
        h = _through(self.middle_block, h, embedding)
        for block in self.output_blocks:
            h = _through(block, torch.cat([h, skipped.pop()], 1), embedding)
        estimate: Tensor = self.out(h.to(x.dtype))
        return estimate

    def torso_convolutions(self) -> Iterator[nn.Conv1d | nn.Conv2d]:
        """Return the convolutions that half precision is for: all but the first and the last.

        The first would round the image itself, whose noise may be as small as that.
        """
        for part in (*self.input_blocks[1:], self.middle_block, self.output_blocks):
            for module in part.modules():
                if isinstance(module, (nn.Conv1d, nn.Conv2d)):
                    yield module


class Norm(nn.GroupNorm):
    """Group norm that computes in the precision of its own parameters, and returns x's."""

    def __init__(self, width: int) -> None:
        super().__init__(GROUPS, width)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, ...)."""
        return super().forward(x.to(self.weight.dtype)).to(x.dtype)


class ResBlock(nn.Module):
    """Two convolutions beside a skip connection, told the time between them.

    With a ``way`` the image is halved (mean of 2 x 2) or doubled (nearest) before
    the first convolution, and so is what the skip connection carries.
    """

    def __init__(
        self,
        width_in: int,
        width_out: int,
        embedding: int,
        scale_shift: bool,
        way: Literal["down", "up"] | None = None,
    ) -> None:
        super().__init__()
        self._scale_shift = scale_shift
        self._way = way
        told = 2 * width_out if scale_shift else width_out
        self.in_layers = nn.Sequential(Norm(width_in), nn.SiLU(), _conv(width_in, width_out))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, told))
        # The third was dropout, in training; it keeps its number.
        self.out_layers = nn.Sequential(
            Norm(width_out), nn.SiLU(), nn.Identity(), _conv(width_out, width_out)
        )
        self.skip_connection = (
            nn.Identity() if width_in == width_out else nn.Conv2d(width_in, width_out, 1)
        )

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Go from (B, width_in, H, W) to width_out, and half or double the size."""
        norm, silu, convolution = self.in_layers
        h = convolution(_resized(silu(norm(x)), self._way))
        told = self.emb_layers(embedding).to(h.dtype)[:, :, None, None]
        norm, silu, _, convolution = self.out_layers
        if self._scale_shift:
            scale, shift = told.chunk(2, 1)
            h = norm(h) * (1 + scale) + shift
        else:
            h = norm(h + told)
        out: Tensor = self.skip_connection(_resized(x, self._way)) + convolution(silu(h))
        return out


class AttentionBlock(nn.Module):
    """Self-attention over all pixels, beside a skip connection."""

    def __init__(self, width: int, head_channels: int, order: Literal["legacy", "new"]) -> None:
        super().__init__()
        heads = width // head_channels
        # The axes (B, ..., L) that q, k and v are taken apart along, and which of them counts them.
        self._axes = (heads, 3, head_channels) if order == "legacy" else (3, heads, head_channels)
        self._qkv_axis = 2 if order == "legacy" else 1
        self.norm = Norm(width)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Attend over the L = H W pixels of (B, C, H, W)."""
        flat = x.flatten(2)
        qkv = self.qkv(self.norm(flat)).unflatten(1, self._axes)
        q, k, v = (
            each.transpose(-1, -2) for each in qkv.unbind(self._qkv_axis)
        )  # (B, heads, L, d)
        attended = nn.functional.scaled_dot_product_attention(q, k, v)
        out: Tensor = flat + self.proj_out(attended.transpose(-1, -2).flatten(1, 2))
        return out.view(x.shape)


class Downsample(nn.Module):
    """Halve the image by a convolution of stride 2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Go from (B, C, H, W) to half the size."""
        half: Tensor = self.op(x)
        return half


class Upsample(nn.Module):
    """Double the image by repetition, then convolve."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Go from (B, C, H, W) to twice the size."""
        double: Tensor = self.conv(_resized(x, "up"))
        return double


def time_features(t: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """Return cosines and sines of t (B,) at geometric frequencies from 1 to 1/10000, (B, width)."""
    half = width // 2
    steps = torch.arange(half, dtype=dtype, device=t.device)
    angles = t.to(dtype)[:, None] * torch.exp(-math.log(10000) / half * steps)
    return torch.cat([angles.cos(), angles.sin()], 1)


def _conv(width_in: int, width_out: int) -> nn.Conv2d:
    return nn.Conv2d(width_in, width_out, 3, padding=1)


def _resized(x: Tensor, way: Literal["down", "up"] | None) -> Tensor:
    if way == "down":
        return nn.functional.avg_pool2d(x, 2)
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest") if way == "up" else x


def _through(block: nn.Module, h: Tensor, embedding: Tensor) -> Tensor:
    for layer in block.children():
        h = layer(h, embedding) if isinstance(layer, ResBlock) else layer(h)
    return h
