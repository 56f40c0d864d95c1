"""Photographs in memory as bytes of luma, and random crops of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..photographs import Read, read_luma, read_scales
from .draw import Draw

SCALES = (0.4, 0.6)
"""Shares of crops from the photographs and from copies at half and quarter size, whose details are
finer and whose view is wider: sources of fusion are often small images of whole scenes."""

GAMMA, CONTRAST, INVERTED = 0.25, 0.25, 0.1
"""Shares of crops, drawn independently, that are changed in gamma (exponent log-uniform in 0.5
to 2), lowered in contrast (to 0.2 to 0.9 of it) and inverted (as hot-black thermal images are)."""


@dataclass(frozen=True)
class Photographs:
    """Decoded photographs.

    Attributes
    ----------
    scales
        By size, whole, half and quarter (means of 2 x 2 pixels): the photographs, (H, W) uint8.
    sha256
        Of the files' hashes, in order.
    """

    scales: tuple[list[Tensor], ...]
    sha256: str

    @classmethod
    def read(cls, paths: Sequence[Path], least: int, read: Read = read_luma) -> Photographs:
        """Decode every file once; ``least`` is the side that the smallest copy must have."""
        scales, sha256 = read_scales(paths, read, len(SCALES), least)
        return cls(tuple(scales), sha256)

    def crop(self, size: int, draw: Draw, varied: bool = True) -> Tensor:
        """Return a random crop, flipped, turned and by default varied, (S, S) float32 in [0, 1].

        The one with more detail of two: much of a landscape is sky.
        """
        both = []
        for _ in range(2):
            u = draw.uniform()
            images = self.scales[(u > SCALES[0]) + (u > SCALES[0] + SCALES[1])]
            both.append(cut(images[draw.whole(0, len(images) - 1)], size, draw))
        crop = max(both, key=lambda crop: float(crop.diff().abs().mean()))
        return vary(crop, draw) if varied else crop


def cut(image: Tensor, size: int, draw: Draw) -> Tensor:
    """Return a random crop of one image (H, W), flipped and turned."""
    top, left = (draw.whole(0, side - size) for side in image.shape)
    crop = image[top : top + size, left : left + size].float() / 255
    axes = [axis for axis in (0, 1) if draw.chance(0.5)]
    crop = crop.flip(axes)
    return crop.mT if draw.chance(0.5) else crop


def vary(crop: Tensor, draw: Draw) -> Tensor:
    """Return a crop with values in [0, 1], by chance in other gamma, lower contrast, inverted."""
    if draw.chance(GAMMA):
        crop = crop ** math.exp(draw.uniform(-1, 1) * math.log(2))
    if draw.chance(CONTRAST):
        depth = draw.uniform(0.2, 0.9)
        crop = crop * depth + draw.uniform(0, 1 - depth)
    return 1 - crop if draw.chance(INVERTED) else crop
