"""Photographs to learn from: which, what is in them, and where they come from."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from fusionkit.errors import UsageError
from fusionkit.imaging import read_picture
from fusionkit.imaging.luma import LUMA, luma_of

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}

Read = Callable[[Path], tuple[Tensor, str]]
"""Reads an image as uint8, (..., H, W), and returns the SHA-256 of its file too."""


def find_photographs(paths: Iterable[str | Path]) -> list[Path]:
    """Return the image files named, and those in the folders named, sorted within each.

    Raises
    ------
    UsageError
        A folder holds no images.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        if not inside:
            raise UsageError(f"{path}: holds no images")
        found += inside
    return found


def split(paths: Sequence[Path], held_out: int) -> tuple[list[Path], list[Path]]:
    """Return photographs for training, and some spread evenly over them for validation.

    Raises
    ------
    UsageError
        None would be held out, or none left.
    """
    if not 1 <= held_out < len(paths):
        raise UsageError(
            f"{held_out} of {len(paths)} photographs cannot be held out for validation: at least "
            "one must be, and one be left (--validation)"
        )
    chosen = {(2 * n + 1) * len(paths) // (2 * held_out) for n in range(held_out)}
    indexed = list(enumerate(paths))
    return [p for n, p in indexed if n not in chosen], [p for n, p in indexed if n in chosen]


def read_rgb(path: Path) -> tuple[Tensor, str]:
    """Read an image as (3, H, W) uint8, and the SHA-256 of its file; grey is replicated."""
    picture = read_picture(path)
    values = picture.eight_bit()
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, -1)
    return torch.from_numpy(values.copy()).permute(2, 0, 1), picture.sha256 or ""


def read_luma(path: Path) -> tuple[Tensor, str]:
    """Read an image as (H, W) uint8, and the SHA-256 of its file."""
    picture = read_picture(path)
    unit = picture.unit()
    grey = luma_of(unit) if unit.ndim == 3 else unit
    return torch.from_numpy(np.rint(grey * 255).astype(np.uint8)), picture.sha256 or ""


def read_scales(
    paths: Iterable[Path], read: Read, count: int, least: int
) -> tuple[list[list[Tensor]], str]:
    """Decode every file once, and halve the images again and again.

    Parameters
    ----------
    paths
        The files.
    read
        :func:`read_rgb` or :func:`read_luma`.
    count
        How many sizes: whole, half, quarter ...
    least
        The side that the smallest copy must have.

    Returns
    -------
    lists of Tensor
        By size, the images in the order of the files.
    str
        The SHA-256 of the files' hashes, in order.

    Raises
    ------
    UsageError
        A photograph is too small, or cannot be read.
    """
    scales: list[list[Tensor]] = [[] for _ in range(count)]
    digest = hashlib.sha256()
    for path in paths:
        image, sha256 = read(path)
        height, width = image.shape[-2:]
        if min(height, width) < 2 ** (count - 1) * least:
            raise UsageError(
                f"{path}: {width}x{height} pixels are too small to train on crops of {least} at "
                f"1/{2 ** (count - 1)} of its size: leave it out, or use smaller crops"
            )
        scales[0].append(image)
        for copies in scales[1:]:
            image = halved(image)
            copies.append(image)
        digest.update(bytes.fromhex(sha256))
    return scales, digest.hexdigest()


def halved(image: Tensor) -> Tensor:
    """Return an image (..., H, W) uint8 at half size.

    By means of 2 x 2 pixels, as a coarser sensor has: they leave a photograph sharp.
    """
    stack = image if image.ndim > 2 else image[None]
    half = avg_pool2d(stack.float(), 2).round_().to(torch.uint8)
    return half if image.ndim > 2 else half[0]


def luma(images: Tensor) -> Tensor:
    """Return the BT.601 luma (..., 1, H, W) of RGB (..., 3, H, W)."""
    return (images * images.new_tensor(LUMA).view(3, 1, 1)).sum(-3, keepdim=True)


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
