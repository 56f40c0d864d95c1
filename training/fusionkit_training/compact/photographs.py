"""Photographs in memory, and random crops of them, varied so that one prior serves many images.

Everything is drawn and gathered in batches on the device that trains, from one
generator, so that a crop is a function of its seed and costs next to nothing.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from fusionkit.errors import UsageError
from fusionkit.imaging import read_picture

HALF = 0.4
"""Share of crops from the half-size copies, whose details are finer and whose view is wider."""

GREY, INVERTED, GAMMA, CONTRAST = 0.15, 0.10, 0.15, 0.15
"""Shares of crops, drawn independently, that are made grey (three equal channels), inverted (as
hot-black thermal images are), changed in gamma (exponent log-uniform in 0.5 to 2), and
lowered in contrast (to 0.15 to 0.9 of it, around a level that keeps it in range)."""

LUMA = (0.299, 0.587, 0.114)


def read_rgb(path: Path) -> tuple[Tensor, str]:
    """Read an image as (3, H, W) uint8, and the SHA-256 of its file; grey is replicated."""
    picture = read_picture(path)
    values = picture.pixels
    if values.dtype != np.uint8:
        values = np.rint(picture.unit() * 255).astype(np.uint8)
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, -1)
    return torch.from_numpy(values.copy()).permute(2, 0, 1), picture.sha256 or ""


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
    def read(cls, paths: Sequence[Path], least: int, device: str = "cpu") -> Photographs:
        """Decode every file once; ``least`` is the side that a half-size copy must have."""
        originals, halves, digest = [], [], hashlib.sha256()
        for path in paths:
            image, sha256 = read_rgb(path)
            if min(image.shape[1:]) < 2 * least:
                raise UsageError(
                    f"{path}: {image.shape[2]}x{image.shape[1]} pixels are too small to train on "
                    f"crops of {least} at half size: leave it out, or use smaller crops"
                )
            originals.append(image)
            # A box filter, as a coarser sensor has: it leaves a photograph sharp.
            halves.append(avg_pool2d(image.float(), 2).round_().to(torch.uint8))
            digest.update(bytes.fromhex(sha256))
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
            digest.hexdigest(),
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
    luma = (crops * crops.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    crops = torch.where(grey < GREY, luma.clamp(0, 1), crops)
    crops = torch.where(inverted < INVERTED, 1 - crops, crops)
    chosen = (gamma < GAMMA).flatten()  # powers are slow: only those that are wanted
    crops[chosen] = crops[chosen] ** torch.exp((2 * exponent[chosen] - 1) * math.log(2))
    depth = torch.where(contrast < CONTRAST, 0.15 + 0.75 * depth, torch.ones_like(depth))
    varied: Tensor = crops * depth + level * (1 - depth)
    return varied


def sources_of(paths: Sequence[Path], manifest: Path | None = None) -> dict[str, dict[str, int]]:
    """Count the photographs by source and licence, as a MANIFEST.csv beside them says.

    The manifest, by default that of the photographs' folder or the one above, has the columns
    file, source and licence; a photograph that it does not list counts as unknown.
    """
    counted: dict[str, Counter[str]] = {}
    tables: dict[Path, dict[str, tuple[str, str]]] = {}
    for path in paths:
        parent = path.resolve().parent
        choices = [manifest] if manifest else [parent / _MANIFEST, parent.parent / _MANIFEST]
        origin = "unknown", "unknown"
        for choice in choices:
            if choice not in tables:
                tables[choice] = _rows(choice)
            names = (path.name, f"{parent.name}/{path.name}")
            origin = next((tables[choice][n] for n in names if n in tables[choice]), origin)
        counted.setdefault(origin[0], Counter())[origin[1]] += 1
    return {source: dict(sorted(counted[source].items())) for source in sorted(counted)}


_MANIFEST = "MANIFEST.csv"


def _rows(manifest: Path) -> dict[str, tuple[str, str]]:
    if not manifest.is_file():
        return {}
    with manifest.open(newline="", encoding="utf-8") as file:
        return {
            row.get("file") or "": (row.get("source") or "unknown", row.get("licence") or "unknown")
            for row in csv.DictReader(file)
        }
