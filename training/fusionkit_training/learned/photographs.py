"""Photographs in memory as bytes of luma, and random crops of them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from fusionkit.errors import UsageError
from fusionkit.imaging import read_picture

from ..state import generator_for

LUMA = (0.299, 0.587, 0.114)

SCALES = (0.3, 0.35, 0.35)
"""Shares of crops from the photographs and from copies at half and quarter size, whose details are
finer and whose view is wider: sources of fusion are often small images of whole scenes."""

GAMMA, CONTRAST, INVERTED = 0.25, 0.25, 0.1
"""Shares of crops, drawn independently, that are changed in gamma (exponent log-uniform in 0.5
to 2), lowered in contrast (to 0.2 to 0.9 of it) and inverted (as hot-black thermal images are)."""


class Draw:
    """Random numbers from one seed."""

    def __init__(self, *key: object) -> None:
        self.generator = generator_for(*key)

    def tensor(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return uniform numbers of this shape."""
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers of this shape."""
        return torch.randn(shape, generator=self.generator)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return one number."""
        return float(self.tensor(1, low=low, high=high))

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``, both included."""
        return int(torch.randint(low, high + 1, (1,), generator=self.generator))

    def chance(self, share: float) -> bool:
        """Return True with this probability."""
        return self.uniform() < share


def read_luma(path: Path) -> tuple[Tensor, str]:
    """Read an image as (H, W) uint8, and the SHA-256 of its file."""
    picture = read_picture(path)
    values = picture.unit()
    if values.ndim == 3:
        values = values[..., :3] @ np.asarray(LUMA, np.float32)
    grey = np.rint(values.clip(0, 1) * 255).astype(np.uint8)
    return torch.from_numpy(grey), picture.sha256 or ""


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
    def read(cls, paths: Sequence[Path], least: int) -> Photographs:
        """Decode every file once; ``least`` is the side that the smallest copy must have."""
        scales: tuple[list[Tensor], ...] = tuple([] for _ in SCALES)
        digest = hashlib.sha256()
        for path in paths:
            image, sha256 = read_luma(path)
            if min(image.shape) < 2 ** (len(SCALES) - 1) * least:
                raise UsageError(
                    f"{path}: {image.shape[1]}x{image.shape[0]} pixels are too small for crops "
                    f"of {least} at quarter size: leave it out, or use smaller crops"
                )
            for copies in scales:
                copies.append(image)
                image = avg_pool2d(image[None].float(), 2)[0].round_().to(torch.uint8)
            digest.update(sha256.encode())
        return cls(scales, digest.hexdigest())

    def crop(self, size: int, draw: Draw) -> Tensor:
        """Return a random crop, flipped, turned and varied, (S, S) float32 in [0, 1].

        The one with more detail of two: much of a landscape is sky.
        """
        both = []
        for _ in range(2):
            u = draw.uniform()
            images = self.scales[(u > SCALES[0]) + (u > SCALES[0] + SCALES[1])]
            both.append(cut(images[draw.whole(0, len(images) - 1)], size, draw))
        return vary(max(both, key=lambda crop: float(crop.diff().abs().mean())), draw)


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
