"""The picture of published.md: published methods on two scenes made of a photograph.

    python docs/published_sheet.py docs/images/published.jpg

The photograph is scikit-image's astronaut (NASA, public domain). Every recipe runs as it is, with
the default prior; the second scene's "thermal" source is made, and only looks like one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from skimage import data

import fusionkit

Pixels = NDArray[np.uint8]

RECIPES = ("ddfm", "ccf", "dig2dig", "dig2dig-scaled", "general")
COLUMN, BAR, GAP = 160, 16, 4


def photograph(side: int) -> NDArray[np.float64]:
    """Return the middle of the photograph, grey, in [0, 1]."""
    face = Image.fromarray(data.astronaut()[0:256, 90:346]).convert("L")
    return np.asarray(face.resize((side, side), Image.Resampling.BOX)) / 255


def scenes(side: int) -> dict[str, tuple[Pixels, Pixels]]:
    """Return two pairs of sources: two settings of focus, and thermal beside visible."""
    sharp = photograph(side)
    blurred = gaussian_filter(sharp, side / 40)
    left = np.arange(side) < side // 2
    warm = gaussian_filter(np.where(sharp > 0.55, 0.9, 0.25), side / 80)
    dusk = np.clip(0.6 * sharp, 0, 1)
    return {
        "focus": (levels(np.where(left, sharp, blurred)), levels(np.where(left, blurred, sharp))),
        "thermal": (levels(1 - warm), levels(dusk)),
    }


def levels(image: NDArray[np.float64]) -> Pixels:
    """Return 8-bit values of [0, 1]."""
    return (image * 255).round().astype(np.uint8)


def main() -> None:
    """Make the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--side", type=int, default=128, help="of a scene, in pixels")
    given = parser.parse_args()
    rows = [
        [*pair, *(np.asarray(fusionkit.fuse(pair, recipe=name).image) for name in RECIPES)]
        for pair in scenes(given.side).values()
    ]
    captions = ("source 1", "source 2", *RECIPES)
    width, height = (COLUMN + GAP) * len(captions) - GAP, (COLUMN + GAP) * len(rows) + BAR
    sheet = Image.new("L", (width, height), 255)
    for column, caption in enumerate(captions):
        ImageDraw.Draw(sheet).text((column * (COLUMN + GAP) + 2, 2), caption, fill=0)
        for row, images in enumerate(rows):
            shown = Image.fromarray(images[column]).resize((COLUMN, COLUMN))
            sheet.paste(shown, (column * (COLUMN + GAP), BAR + row * (COLUMN + GAP)))
    sheet.save(given.out, quality=85)


if __name__ == "__main__":
    main()
