"""Photographs in memory, and random crops of them, varied so that one prior serves many images.

Everything is drawn and gathered in batches on the device that trains, from one
generator, so that a crop is a function of its seed and costs next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..photographs import Read, luma, read_rgb, read_scales

HALF = 0.4
"""Share of crops from the half-size copies, whose details are finer and whose view is wider."""

GREY, INVERTED, GAMMA, CONTRAST = 0.15, 0.10, 0.15, 0.15
"""Shares of crops, drawn independently, that are made grey (three equal channels), inverted (as
hot-black thermal images are), changed in gamma (exponent log-uniform in 0.5 to 2), and
lowered in contrast (to 0.15 to 0.9 of it, around a level that keeps it in range)."""


@dataclass(frozen=True)
class Photographs:
    """Decoded photographs, one pixel after the other, and where each begins.

    The first half of the tables are the photographs as they are, the second their
    copies at half size, in the same order.

    Attributes
    ----------
    pixels
        (N, 3) uint8.
    start, height, width
        (2 M,) int64.
    sha256
        Of the files' hashes, in order.
    """

    pixels: Tensor
    start: Tensor
    height: Tensor
    width: Tensor
    sha256: str

    @classmethod
    def read(
        cls, paths: Sequence[Path], least: int, device: str = "cpu", read: Read = read_rgb
    ) -> Photographs:
        """Decode every file once; ``least`` is the side that a half-size copy must have."""
        (originals, halves), sha256 = read_scales(paths, read, 2, least)
        images = originals + halves
        size = torch.tensor([image.shape[1:] for image in images])
        area = size[:, 0] * size[:, 1]
        pixels = torch.empty(int(area.sum()), 3, dtype=torch.uint8)
        start = area.cumsum(0) - area
        for image, first in zip(images, start.tolist(), strict=True):
            flat = image.flatten(1).T
            pixels[first : first + len(flat)] = flat
        height, width = size.T
        return cls(
            pixels.to(device),
            start.to(device),
            height.to(device),
            width.to(device),
            sha256,
        )

    @property
    def count(self) -> int:
        """The number of photographs, copies not counted."""
        return len(self.start) // 2

    def crops(self, count: int, size: int, generator: torch.Generator) -> Tensor:
        """Return random crops, flipped and turned, (B, 3, S, S) float32 in [0, 1]."""
        device = self.pixels.device
        u = torch.rand(count, 7, generator=generator, device=device).T
        index = (u[0] * self.count).long() + self.count * (u[1] < HALF)
        top = (u[2] * (self.height[index] - size + 1)).long()
        left = (u[3] * (self.width[index] - size + 1)).long()
        along = torch.arange(size, device=device)
        # The eight symmetries of the square, as which pixel of the crop goes where.
        rows = torch.where(u[4, :, None] < 0.5, along, size - 1 - along)[:, :, None]
        columns = torch.where(u[5, :, None] < 0.5, along, size - 1 - along)[:, None, :]
        turned = u[6, :, None, None] < 0.5
        rows = torch.where(turned, rows.mT, rows)
        columns = torch.where(turned, columns.mT, columns)
        first = self.start[index] + top * self.width[index] + left
        where = first[:, None, None] + rows * self.width[index][:, None, None] + columns
        taken = self.pixels.index_select(0, where.flatten())
        # As stored, channels come last in memory, which is the layout that training wants.
        return taken.view(count, size, size, 3).permute(0, 3, 1, 2).float() / 255


def vary(crops: Tensor, generator: torch.Generator) -> Tensor:
    """Return crops of values in [0, 1], shares of them grey, inverted, in other contrast."""
    u = torch.rand(len(crops), 7, generator=generator, device=crops.device)
    grey, inverted, gamma, contrast, exponent, depth, level = u.T[:, :, None, None, None]
    crops = torch.where(grey < GREY, luma(crops).clamp(0, 1), crops)
    crops = torch.where(inverted < INVERTED, 1 - crops, crops)
    chosen = (gamma < GAMMA).flatten()  # powers are slow: only those that are wanted
    crops[chosen] = crops[chosen] ** torch.exp((2 * exponent[chosen] - 1) * math.log(2))
    depth = torch.where(contrast < CONTRAST, 0.15 + 0.75 * depth, torch.ones_like(depth))
    varied: Tensor = crops * depth + level * (1 - depth)
    return varied
