"""Which photographs are trained on, and which held out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import UsageError

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}


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
