"""The demo pair, and a picture that shows it beside its fusion.

    python docs/demo.py pair DIR       writes DIR/near.png and DIR/far.png
    python docs/demo.py picture DIR    writes DIR/comparison.png, once DIR/fused.png exists

The pair is one photograph with two depths: the astronaut in scikit-image (Eileen
Collins, NASA, public domain), with the person as the near layer. Each image of the
pair is in focus at one depth; the other is blurred by a lens's disc, in linear light.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve
from skimage import data, draw

# The person's outline, (x, y) in pixels of the 512 x 512 photograph, from the lower left.
OUTLINE = """
28,512 24,440 20,410 24,350 34,310 46,270 60,250 85,225 113,206 117,187 124,182 128,168 138,157
155,149 170,148 185,150 182,130 175,118 168,115 158,100 153,80 155,62 165,50 185,38 195,30 205,22
230,15 250,17 270,25 285,38 297,58 302,80 298,100 288,117 278,128 270,136 265,135 262,150 256,172
275,183 290,200 300,218 305,235 320,242 338,256 346,275 352,300 358,325 364,345 375,346 395,343
420,347 450,360 475,382 490,415 497,450 505,460 512,475 512,512
"""
RADIUS = 4.5  # of the blur disc, in pixels
GAMMA = 2.2
DETAILS = ((185, 60), (360, 160))  # upper left corners of what the picture shows enlarged
DETAIL = 110

Planes = NDArray[np.float64]


def focus_pair() -> tuple[Planes, Planes]:
    """Return the near- and the far-focused image, (512, 512, 3) in [0, 1]."""
    light = (data.astronaut() / 255.0) ** GAMMA
    corners = np.array([pair.split(",") for pair in OUTLINE.split()], dtype=float)
    near = draw.polygon2mask(light.shape[:2], corners[:, ::-1]).astype(float)
    near = gaussian_filter(near, 0.7)[..., np.newaxis]
    # Behind the person, and a little around the rough outline, the wall goes on: fill it in,
    # or its blur would bleed the person's colours, which is not what a lens does.
    seen = 1 - np.clip(gaussian_filter(near, (3, 3, 0)) * 8, 0, 1)
    share = gaussian_filter(seen, (12, 12, 0))
    wall = gaussian_filter(light * seen, (12, 12, 0)) / np.maximum(share, 1e-6)
    wall = light * seen + wall * (1 - seen)
    near_focus = light * near + disc_blur(wall) * (1 - near)
    far_focus = disc_blur(light * near) + (1 - disc_blur(near)) * wall
    return encoded(near_focus), encoded(far_focus)


def disc_blur(planes: Planes) -> Planes:
    """Blur with a disc of RADIUS, each plane of (H, W, C); the image continues mirrored."""
    reach = int(np.ceil(RADIUS))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(RADIUS + 0.5 - np.hypot(rows, columns), 0, 1)
    disc /= disc.sum()
    padded = np.pad(planes, ((reach, reach), (reach, reach), (0, 0)), "reflect")
    return fftconvolve(padded, disc[..., np.newaxis], mode="valid", axes=(0, 1))


def encoded(light: Planes) -> Planes:
    """Linear light to display values."""
    return np.clip(light, 0, 1) ** (1 / GAMMA)


def save(image: Planes, path: Path) -> None:
    """Write values in [0, 1] as 8 bits."""
    Image.fromarray((image * 255).round().astype(np.uint8)).save(path)


def comparison(folder: Path) -> Image.Image:
    """Return the three images side by side, each with two details below it, enlarged."""
    titles = {"near.png": "near focus", "far.png": "far focus", "fused.png": "fused"}
    width, gap, bar = 420, 6, 22
    detail = (width - gap) // 2
    sheet = Image.new("RGB", (3 * width + 2 * gap, bar + width + gap + detail), "white")
    pen = ImageDraw.Draw(sheet)
    for column, (name, title) in enumerate(titles.items()):
        left = column * (width + gap)
        image = Image.open(folder / name).convert("RGB")
        pen.text((left + 4, 4), title, fill="black", font_size=15)
        sheet.paste(image.resize((width, width), Image.Resampling.LANCZOS), (left, bar))
        for place, (x, y) in enumerate(DETAILS):
            crop = image.crop((x, y, x + DETAIL, y + DETAIL))
            crop = crop.resize((detail, detail), Image.Resampling.BICUBIC)
            sheet.paste(crop, (left + place * (detail + gap), bar + width + gap))
    return sheet


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["pair", "picture"])
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(exist_ok=True)
    if given.what == "pair":
        near, far = focus_pair()
        save(near, given.folder / "near.png")
        save(far, given.folder / "far.png")
    else:
        comparison(given.folder).save(given.folder / "comparison.png")


if __name__ == "__main__":
    main()
