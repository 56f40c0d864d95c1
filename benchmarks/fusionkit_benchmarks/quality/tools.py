"""Fusions that people use, as rows to compare with: OpenCV's MergeMertens, and enfuse.

Neither is needed to run fusionkit: one that is not installed is reported as missing.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusionkit.errors import FusionkitError
from fusionkit.imaging import write_picture

from ..photographs import Pixels, read_pixels

TIMEOUT = 600
"""Seconds after which enfuse is given up."""


@dataclass(frozen=True)
class Tool:
    """A program or library that fuses.

    Attributes
    ----------
    name
        The row's name.
    families
        What it is for: ``focus``, ``exposure``.
    about
        The settings in words, for the record.
    version
        Returns the installed version, or None if it is missing.
    fuse
        From K images of one shape, (H, W) or (H, W, 3) uint8, to one.
    """

    name: str
    families: tuple[str, ...]
    about: str
    version: Callable[[], str | None]
    fuse: Callable[[Sequence[Pixels]], Pixels]


def enfuse_version() -> str | None:
    """Return what ``enfuse --version`` says first, or None if it is not on the PATH."""
    if shutil.which("enfuse") is None:
        return None
    shown = subprocess.run(
        ["enfuse", "--version"], capture_output=True, text=True, check=False, timeout=TIMEOUT
    )
    return (shown.stdout.splitlines() or ["enfuse"])[0]


def enfuse(sources: Sequence[Pixels], flags: Sequence[str] = ()) -> Pixels:
    """Fuse with the enfuse program, on PNG files in a temporary folder.

    Raises
    ------
    FusionkitError
        It ended with an error, or not in time.
    """
    with tempfile.TemporaryDirectory(prefix="fusionkit-enfuse-") as name:
        folder = Path(name)
        files = [folder / f"{k}.png" for k in range(len(sources))]
        for file, source in zip(files, sources, strict=True):
            write_picture(file, source)
        command = ["enfuse", "--depth=8", *flags, f"--output={folder / 'fused.png'}"]
        try:
            done = subprocess.run(
                [*command, *map(str, files)],
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT,
            )
        except subprocess.TimeoutExpired:
            raise FusionkitError(f"enfuse did not end within {TIMEOUT} seconds") from None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise FusionkitError(f"enfuse failed: {last}")
        return read_pixels(folder / "fused.png")


def opencv_version() -> str | None:
    """Return OpenCV's version, or None if it is missing, or built without ``photo``."""
    try:
        import cv2
    except ImportError:
        return None
    return f"OpenCV {cv2.__version__}" if hasattr(cv2, "createMergeMertens") else None


def mertens(
    sources: Sequence[Pixels], contrast: float = 1, saturation: float = 1, exposure: float = 0
) -> Pixels:
    """Fuse with OpenCV's MergeMertens; the defaults are OpenCV's own."""
    import cv2

    merged = cv2.createMergeMertens(contrast, saturation, exposure).process(list(sources))
    return np.rint(np.clip(np.asarray(merged), 0, 1) * 255).astype(np.uint8)


FOCUS_FLAGS = ("--exposure-weight=0", "--saturation-weight=0", "--contrast-weight=1", "--hard-mask")
"""What enfuse's manual says for focus stacks."""

TOOLS: tuple[Tool, ...] = (
    Tool("enfuse", ("exposure",), "default settings", enfuse_version, enfuse),
    Tool(
        "enfuse-focus",
        ("focus",),
        " ".join(FOCUS_FLAGS),
        enfuse_version,
        lambda sources: enfuse(sources, FOCUS_FLAGS),
    ),
    Tool(
        "mertens",
        ("exposure",),
        "weights contrast 1, saturation 1, exposure 0: OpenCV's defaults",
        opencv_version,
        mertens,
    ),
    Tool(
        "mertens-exposed",
        ("exposure",),
        "weights contrast 1, saturation 1, exposure 1, as published",
        opencv_version,
        lambda sources: mertens(sources, exposure=1),
    ),
)
