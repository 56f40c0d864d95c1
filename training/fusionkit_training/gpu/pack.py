"""Photographs in one file, compressed without loss, for a machine that reads no image files."""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusionkit import number_of
from fusionkit.errors import UsageError
from fusionkit.host.weights_file import checked_file, read_safetensors, write_safetensors

from ..photographs import find_photographs, luma, read_rgb, sources_of, split

FORMAT = "fusionkit-photographs-1"

HELD_OUT = 512**2
"""Pixels of a photograph that is held out, at most."""

PROBE = 256**2
"""Pixels at the middle of each photograph that tell how well it can be compressed."""


@dataclass(frozen=True)
class Pack:
    """Photographs of a file, or the middle of each, decoded when they are asked for.

    Attributes
    ----------
    train, held_out
        What to call them.
    sources
        How many of those to train on are from where, under which licence.
    """

    file: Path
    train: tuple[Path, ...]
    held_out: tuple[Path, ...]
    sources: dict[str, dict[str, int]]
    _about: dict[str, Any] = field(repr=False)
    _tensors: dict[str, Tensor] = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> Pack:
        """Open a file that :func:`write_pack` wrote.

        Raises
        ------
        UsageError
            It is none, or damaged.
        """
        tensors, metadata = read_safetensors(checked_file(path))
        try:
            if metadata["format"] != FORMAT:
                raise ValueError
            about = json.loads(metadata["photographs"])
            sources = json.loads(metadata["sources"])
            held_out = [name for name in about if about[name]["held_out"]]
        except (KeyError, TypeError, ValueError):
            raise UsageError(f"{path}: is no pack of photographs (--pack)") from None
        train = [name for name in about if name not in held_out]
        named = tuple(map(Path, train)), tuple(map(Path, held_out))
        return cls(path, *named, sources, about, tensors)

    def rgb(self, name: Path) -> tuple[Tensor, str]:
        """Return a photograph, (3, H, W) uint8, and the SHA-256 of its pixels."""
        try:
            about = self._about[str(name)]
            data = self._tensors[str(name)].numpy().tobytes()
            image = _decoded(data, about["height"], about["width"])
            if _sha256(image) != about["sha256"]:
                raise ValueError
        except (KeyError, TypeError, ValueError, zlib.error):
            raise UsageError(f"{self.file}: its photograph {name} is damaged") from None
        return torch.from_numpy(image), about["sha256"]

    def luma(self, name: Path) -> tuple[Tensor, str]:
        """Return its luma, (H, W) uint8, and the same SHA-256."""
        image, sha256 = self.rgb(name)
        return luma(image.float())[0].round().to(torch.uint8), sha256


def write_pack(
    path: Path,
    photographs: Sequence[str | Path],
    most: float,
    held_out: int,
    manifest: Path | None = None,
) -> str:
    """Pack the middles of photographs, as large as fit into ``most`` MiB; return what was done.

    All are cut to the same area, smaller ones are left whole: at their own resolution, since what
    is learned is what fine structures look like.

    Raises
    ------
    UsageError
        One cannot be read, or there are too few.
    """
    paths = find_photographs(photographs)
    train, kept = split(paths, held_out)
    room = most * 2**20 - 2**16  # the names
    rate = [len(_encoded(_middle(read_rgb(path)[0], PROBE))) / PROBE for path in paths]
    area = room / sum(rate)
    while True:
        tensors: dict[str, Tensor] = {}
        about: dict[str, Any] = {}
        for n, photograph in enumerate(paths):
            most_of_this = min(area, HELD_OUT) if photograph in kept else area
            image = _middle(read_rgb(photograph)[0], most_of_this)
            name = f"{n:04}-{photograph.name}"
            tensors[name] = torch.frombuffer(bytearray(_encoded(image)), dtype=torch.uint8)
            height, width = image.shape[1:]
            about[name] = {
                "height": height,
                "width": width,
                "sha256": _sha256(image.numpy()),
                "held_out": photograph in kept,
            }
        size = sum(map(len, tensors.values()))
        if size <= room:
            break
        area *= 0.98 * room / size
    metadata = {
        "format": FORMAT,
        "photographs": json.dumps(about),
        "sources": json.dumps(sources_of(train, manifest)),
    }
    write_safetensors(path, tensors, metadata)
    pixels = sum(each["height"] * each["width"] for each in about.values())
    return (
        f"{path}: {number_of(len(paths), 'photograph')}, {held_out} held out, "
        f"{pixels / 1e6:.1f} megapixels, {path.stat().st_size / 2**20:.1f} MiB"
    )


def _middle(image: Tensor, area: float) -> Tensor:
    """Return the middle of an image (3, H, W), in its own proportions, of at most this area."""
    height, width = image.shape[1:]
    share = min(1.0, math.sqrt(area / (height * width)))
    h, w = int(height * share), int(width * share)
    top, left = (height - h) // 2, (width - w) // 2
    return image[:, top : top + h, left : left + w].contiguous()


def _encoded(image: Tensor) -> bytes:
    """Compress an image (3, H, W) uint8: what a pixel's neighbours and its green do not foretell.

    Differences are modulo 256. Photographs take 40% of their bytes, without: 60%.
    """
    red, green, blue = image.numpy()
    planes = np.stack([green, red - green, blue - green])
    for axis in (1, 2):
        planes = np.diff(planes, axis=axis, prepend=np.uint8(0))
    return zlib.compress(planes.tobytes())


def _decoded(data: bytes, height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    planes = np.frombuffer(zlib.decompress(data), np.uint8).reshape(3, height, width)
    for axis in (1, 2):
        planes = planes.cumsum(axis, dtype=np.uint8)
    green, red, blue = planes
    return np.stack([red + green, green, blue + green])


def _sha256(image: np.ndarray[Any, np.dtype[np.uint8]]) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()
