"""The picture of objectives.md: beside an outline of a focus stack, as chosen and as restored.

    python docs/outlines.py DIR    writes DIR/outlines.jpg

A focus stack of two layers is made of a photograph that scikit-image ships, the astronaut (NASA,
public domain), and a part of it shown enlarged.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from fusionkit_benchmarks.photographs import grey
from fusionkit_benchmarks.truth import truth_scene
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage import data

import fusionkit

Pixels = NDArray[np.uint8]

SIDE = 288
CORNER = 100, 60  # of the part of the photograph that is fused
PART, ENLARGED = 56, 4  # side of what is shown of it, and how many times as large
GAP, BAR = 4, 18


def columns() -> dict[str, tuple[Pixels, NDArray[np.float64]]]:
    """Return what is shown, (SIDE, SIDE), and the truth beside it."""
    top, left = CORNER
    crop = grey(data.astronaut())[top : top + SIDE, left : left + SIDE]
    scene = truth_scene("focus", crop, photograph_name="astronaut")
    truth = 255 * scene.truth
    near, far = (np.rint(255 * image).astype(np.uint8) for image in scene.sources)
    joined = np.where(scene.masks[0] > 0, near, far)
    chosen, restored = (
        fusionkit.fuse([near, far], task="multi-focus", objective={"outlines": outlines}).image
        for outlines in (False, True)
    )
    images = {
        "near in focus": near,
        "far in focus": far,
        "true masks": joined,
        "multi-focus": chosen,
        "with outlines": restored,
        "truth": np.rint(truth).astype(np.uint8),
    }
    return {title: (image, truth) for title, image in images.items()}


def sheet() -> Image.Image:
    """Return the picture: images above, how far they are from the truth below."""
    shown = columns()
    away = {title: np.abs(image - truth) for title, (image, truth) in shown.items()}
    place = _worst(away["true masks"])
    side = PART * ENLARGED
    width = len(shown) * (side + GAP) - GAP
    picture = Image.new("L", (width, 2 * side + GAP + BAR), 255)
    draw = ImageDraw.Draw(picture)
    for column, (title, (image, _)) in enumerate(shown.items()):
        left = column * (side + GAP)
        error = np.square(away[title]).mean()
        said = "" if title == "truth" else f", {10 * np.log10(255**2 / error):.1f} dB"
        draw.text((left + 2, 3), title + said, fill=0)
        for row, part in enumerate((image[place], (8 * away[title][place]).clip(0, 255))):
            enlarged = Image.fromarray(part.astype(np.uint8)).resize((side, side), Image.NEAREST)
            picture.paste(enlarged, (left, BAR + row * (side + GAP)))
    return picture


def _worst(away: NDArray[np.float64]) -> tuple[slice, slice]:
    """Return the part of the image where choosing is furthest from the truth."""
    starts = range(0, SIDE - PART + 1, 8)
    top, left = max(
        ((y, x) for y in starts for x in starts),
        key=lambda at: np.square(away[at[0] : at[0] + PART, at[1] : at[1] + PART]).sum(),
    )
    return slice(top, top + PART), slice(left, left + PART)


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    sheet().save(folder / "outlines.jpg", quality=88)


if __name__ == "__main__":
    main()
