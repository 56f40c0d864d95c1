"""The picture of degraded.md: a source as a poor sensor gives it, and what is fused of it.

    python docs/degraded.py DIR    writes DIR/degraded.jpg

Two exposures are made of a photograph that scikit-image ships, the astronaut (NASA, public
domain); the first is degraded by a known operator.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from fusionkit_benchmarks.photographs import grey
from fusionkit_benchmarks.truth import truth_scene
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from skimage import data

import fusionkit

Pixels = NDArray[np.uint8]

SIDE = 192
CORNER = 20, 140  # of the part of the photograph that is shown
GAP, BAR = 4, 18
COLUMNS = ("source", "fused as it is", "fused with --observe", "fused from clean sources")


def pair() -> tuple[Pixels, Pixels]:
    """Return two exposures, (SIDE, SIDE)."""
    top, left = CORNER
    crop = grey(data.astronaut())[top : top + SIDE, left : left + SIDE]
    scene = truth_scene("exposure", crop, photograph_name="astronaut")
    one, other = (np.rint(255 * image).astype(np.uint8) for image in scene.sources)
    return one, other


def examples(image: Pixels) -> dict[str, Pixels]:
    """Return the source as several sensors give it, by what --observe is told."""
    random = np.random.default_rng(0)
    small = image.reshape(SIDE // 4, 4, SIDE // 4, 4).mean((1, 3))
    dead = image.copy()
    dead[random.random(image.shape) < 0.02] = 255
    dead[60:62], dead[:, 120] = 0, dead[:, 120] // 2
    blurred = gaussian_filter(image.astype(float), 1.6, mode="reflect")
    blurred += 2 * random.standard_normal(image.shape)
    return {
        "1:downsample": np.rint(small).astype(np.uint8),
        "1:mask=auto": dead,
        "1:blur=1.6,noise=2": np.rint(blurred.clip(0, 255)).astype(np.uint8),
    }


def sheet() -> Image.Image:
    """Return the picture: a row for each example."""
    clean, other = pair()
    ideal = fused(clean, other)
    rows = []
    for chain, source in examples(clean).items():
        shown = np.kron(source, np.ones((SIDE // len(source),) * 2, np.uint8))
        rows.append((chain, [shown, fused(shown, other), fused(source, other, [chain]), ideal]))
    width, height = 4 * (SIDE + GAP) - GAP, len(rows) * (SIDE + BAR) + BAR
    picture = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(picture)
    for column, title in enumerate(COLUMNS):
        draw.text((column * (SIDE + GAP) + 2, 3), title, fill=0)
    for n, (chain, images) in enumerate(rows):
        top = BAR + n * (SIDE + BAR)
        for column, image in enumerate(images):
            picture.paste(Image.fromarray(image), (column * (SIDE + GAP), top))
        draw.text((2, top + SIDE + 2), f"--observe {chain}", fill=0)
    return picture


def fused(first: Pixels, other: Pixels, chains: list[str] | None = None) -> Pixels:
    """Return the fusion by the recipe for exposures."""
    observe = {} if chains is None else {"observe": chains}
    pixels: Pixels = fusionkit.fuse([first, other], task="multi-exposure", **observe).image
    return pixels


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    sheet().save(folder / "degraded.jpg", quality=88)


if __name__ == "__main__":
    main()
