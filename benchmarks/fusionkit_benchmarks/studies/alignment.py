"""What aligns sources, of docs/alignment.md: ``python -m fusionkit_benchmarks.studies.alignment``.

Photographs of scikit-image, 256 x 320 pixels, the second source turned by up to 3 degrees, scaled
by up to 3% and shifted by up to 40 pixels. What a tool makes of the second source is compared with
the second source as it would have been from the place of the first: PSNR over the middle, which has
no border in it. ``--openfocus PYTHON`` names the Python of an environment that has OpenFocus.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from fusionkit_alignment.deciding import lying
from fusionkit_alignment.motion import Matrix, still, turned
from fusionkit_alignment.resampling import Places
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from fusionkit.imaging import read_picture, write_picture
from fusionkit_benchmarks.photographs import bundled_photographs, luma_of_pixels

Image = NDArray[Any]
Tool = Callable[[Image, Image], tuple[Image, Image]]
"""Returns both sources aligned, of one size, which may be cropped."""

SIZE = (256, 320)
NAMES = ("astronaut", "camera", "chelsea", "coffee")
BORDER = 52
LENS = 0.7
"""Standard deviation in pixels of what a lens blurs: without, no image is moved without loss."""

_OPENFOCUS = """
import sys, cv2
from core.registration import ImageRegistration
images = [cv2.imread(name) for name in sys.argv[1:3]]
done = ImageRegistration(method="openfocus").process(images)
done = done[0] if isinstance(done, tuple) else done
for n, image in enumerate(done):
    cv2.imwrite(f"{sys.argv[3]}{n}.png", image)
"""


def kinds(image: Image, other: bool) -> dict[str, Image]:
    """Return how the first source, or the other, shows a scene, by kind of fusion."""
    left = np.arange(image.shape[1]) < image.shape[1] / 2
    blurred = gaussian_filter(image, 2.5)
    random = np.random.default_rng(int(other))
    noise = random.standard_normal(image.shape) / 255
    return {
        "alike": image + 2 * noise,
        "focus": np.where(left != other, image, blurred) + 2 * noise,
        "exposure": (np.clip(4 * image, 0, 1) if other else image) + 2 * noise,
        "infrared": 0.5 + 0.5 * np.sin(6 * image) + 5 * noise if other else image + 2 * noise,
    }


def moved_by(seed: int) -> Matrix:
    """Return a motion of the study."""
    random = np.random.default_rng(seed)
    matrix = turned(np.radians(random.uniform(-3, 3)), 1 + random.uniform(-0.03, 0.03))
    angle, far = random.uniform(0, 2 * np.pi), 40 * np.sqrt(random.uniform())
    matrix[:2, 2] = far * np.cos(angle), far * np.sin(angle)
    return matrix


def seen(photo: Image, matrix: Matrix) -> Image:
    """Return the middle of a photograph as a camera that has moved sees it."""
    size = (photo.shape[0], photo.shape[1])
    back = np.asarray(np.linalg.inv(matrix), np.float64)
    whole = Places(back, size).of(photo[np.newaxis])[0]
    top, left = ((side - cut) // 2 for side, cut in zip(size, SIZE, strict=True))
    middle: Image = whole[top : top + SIZE[0], left : left + SIZE[1]]
    return middle


def ours(first: Image, second: Image) -> tuple[Image, Image]:
    """Align by ``--align similarity``."""
    matrix = lying([first, second], ["first", "second"], "similarity")[1].matrix
    return first, Places(matrix, SIZE).of(second[np.newaxis])[0]


def ecc(first: Image, second: Image) -> tuple[Image, Image]:
    """Align by OpenCV's ECC, affine, from coarse to fine."""
    warp: Image = np.eye(2, 3, dtype=np.float32)
    for level in (8, 4, 2, 1):
        pair = [cv2.resize(each, None, fx=1 / level, fy=1 / level) for each in (first, second)]
        scaled = warp.copy()
        scaled[:, 2] /= level
        warp = cv2.findTransformECC(pair[0], pair[1], scaled, cv2.MOTION_AFFINE)[1]
        warp[:, 2] *= level
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    return first, np.asarray(cv2.warpAffine(second, warp, SIZE[::-1], flags=flags), np.float32)


def by_files(command: Sequence[str], outputs: Sequence[str]) -> Tool:
    """Return a tool that is run on ``a.png`` and ``b.png`` in a folder of its own."""

    def tool(first: Image, second: Image) -> tuple[Image, Image]:
        with tempfile.TemporaryDirectory() as folder:
            for name, image in (("a.png", first), ("b.png", second)):
                stored = np.rint(255 * image).astype(np.uint8)
                write_picture(Path(folder) / name, np.repeat(stored[..., np.newaxis], 3, 2))
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
            made = [read_picture(Path(folder) / name).unit() for name in outputs]
        one, other = (image.mean(-1) if image.ndim == 3 else image for image in made)
        return one, other

    return tool


def tools(openfocus: str) -> dict[str, Tool]:
    """Return what there is."""
    found: dict[str, Tool] = {
        "none": lambda first, second: (first, second),
        "`--align similarity`": ours,
        "OpenCV ECC, pyramid": ecc,
    }
    if shutil.which("align_image_stack"):
        command = ["align_image_stack", "-m", "-a", "out", "a.png", "b.png"]
        found["align_image_stack -m"] = by_files(command, ["out0000.tif", "out0001.tif"])
    if openfocus:
        command = [openfocus, "-c", _OPENFOCUS, "a.png", "b.png", "out"]
        found["OpenFocus"] = by_files(command, ["out0.png", "out1.png"])
    return found


def psnr(made: tuple[Image, Image], first: Image, truth: Image) -> float:
    """Return the PSNR of the second source aligned, where the first one, cropped, is found."""
    one, other = (np.asarray(image, np.float32) for image in made)
    if one.shape != first.shape:
        places = cv2.matchTemplate(first, one[8:-8, 8:-8], cv2.TM_CCOEFF_NORMED)
        left, top = cv2.minMaxLoc(places)[3]
        first, truth = (
            image[top - 8 : top - 8 + one.shape[0], left - 8 : left - 8 + one.shape[1]]
            for image in (first, truth)
        )
    cut = (slice(BORDER, -BORDER), slice(BORDER, -BORDER))
    return float(-10 * np.log10(np.mean((other[cut] - truth[cut]) ** 2)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--openfocus", default="", metavar="PYTHON")
    found = tools(parser.parse_args().openfocus)
    rows: dict[str, dict[str, list[float]]] = {name: {} for name in [*found, "true motion"]}
    for seed, name in enumerate(NAMES):
        photo = luma_of_pixels(bundled_photographs()[name]()).astype(np.float32) / 255
        photo = gaussian_filter(photo, LENS)
        matrix = moved_by(seed)
        here, there = seen(photo, still()), seen(photo, matrix)
        firsts, seconds = kinds(here, False), kinds(there, True)
        for kind, truth in kinds(here, True).items():
            first, second = (
                (np.rint(255 * image.clip(0, 1)) / 255).astype(np.float32)
                for image in (firsts[kind], seconds[kind])
            )
            exact = first, Places(matrix, SIZE).of(second[np.newaxis])[0]
            rows["true motion"].setdefault(kind, []).append(psnr(exact, first, truth.clip(0, 1)))
            for label, tool in found.items():
                try:
                    value = psnr(tool(first, second), first, truth.clip(0, 1))
                except (cv2.error, subprocess.SubprocessError, OSError, ValueError):
                    value = float("nan")
                rows[label].setdefault(kind, []).append(value)
    shown = list(rows["true motion"])
    print("| | " + " | ".join(shown) + " |\n|---|" + "---|" * len(shown))
    for label, by_kind in rows.items():
        cells = [_cell(by_kind[kind], rows["true motion"][kind]) for kind in shown]
        print(f"| {label} | " + " | ".join(cells) + " |")


def _cell(values: Sequence[float], exact: Sequence[float]) -> str:
    """Return the median, and of how many scenes it is within 3 dB of the true motion's."""
    known = [value for value in values if np.isfinite(value)]
    near = sum(a > b - 3 for a, b in zip(values, exact, strict=True))
    return f"{np.median(known):.1f} ({near})" if known else "fails"


if __name__ == "__main__":
    main()
