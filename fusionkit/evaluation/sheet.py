"""Contact sheets: images of one size side by side, labelled, with enlarged regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..errors import UsageError

# Okabe and Ito's colours for all kinds of colour vision, those that stand out of pictures first.
COLOURS = ("#d55e00", "#56b4e9", "#f0e442", "#009e73", "#cc79a7", "#0072b2", "#e69f00", "#ffffff")

_PAPER, _INK = "white", "black"
_INSETS_ACROSS = 4
_SMALLEST_FONT = 9


@dataclass(frozen=True)
class Region:
    """A square of ``size`` pixels, its upper left corner at ``x``, ``y``."""

    x: int
    y: int
    size: int


@dataclass(frozen=True)
class _Layout:
    """Measures of a tile, in pixels."""

    width: int
    height: int
    gap: int
    line: int
    text: int
    across: int
    inset: int
    rows: int

    @classmethod
    def of(cls, width: int, height: int, insets: int) -> _Layout:
        gap = max(4, round(min(width, height) / 60))
        # One region alone is enlarged to half the width, or it would outgrow its picture.
        across = min(max(insets, 2), _INSETS_ACROSS)
        inset = max(1, (width - (across - 1) * gap) // across)
        line = max(1, round(min(width, height) / 160))
        text = max(12, round(width / 20))
        return cls(width, height, gap, line, text, across, inset, -(-insets // across))

    @property
    def tile(self) -> int:
        """The height of picture, insets and label."""
        return self.height + self.rows * (self.inset + self.gap) + round(1.6 * self.text)


def most_different(images: Sequence[NDArray[np.uint8]]) -> Region:
    """Return the window, a quarter of the shorter side, in which the images differ most in detail.

    Detail is the gradient of the grey value: of brightness itself an empty sky, dark in one
    image and bright in the other, would differ most. Where no detail differs brightness
    decides, and where that does not differ either, it is the middle.
    """
    height, width = images[0].shape[:2]
    size = max(1, min(height, width, max(16, min(height, width) // 4)))
    for what in (_gradients, _grey):
        variance = _variance([what(image) for image in images])
        if variance.max() > 1e-6:
            break
    else:
        return Region((width - size) // 2, (height - size) // 2, size)
    summed = np.pad(variance, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    windows = summed[size:, size:] - summed[:-size, size:] - summed[size:, :-size]
    y, x = np.unravel_index(np.argmax(windows + summed[:-size, :-size]), windows.shape)
    return Region(int(x), int(y), size)


def _grey(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey: NDArray[np.float32] = image.mean(-1, dtype=np.float32)
    return grey[None]


def _gradients(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = np.pad(_grey(image)[0], 1, mode="edge")
    return np.stack([grey[2:, 1:-1] - grey[:-2, 1:-1], grey[1:-1, 2:] - grey[1:-1, :-2]])


def _variance(values: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Return the variance over images, summed over what was taken of each, (H, W)."""
    found: NDArray[np.float64] = np.var(values, axis=0, dtype=np.float64).sum(0)
    return found


def check_regions(regions: Sequence[Region], width: int, height: int) -> None:
    """Raise UsageError for a region that is not inside the images, or one too many."""
    if len(regions) > len(COLOURS):
        raise UsageError(f"{len(regions)} zooms: there are colours for {len(COLOURS)}")
    for region in regions:
        x, y, size = region.x, region.y, region.size
        if size < 1 or min(x, y) < 0 or x + size > width or y + size > height:
            raise UsageError(
                f"--zoom {x},{y},{size}: this is not inside the images, which are {width}x{height}"
            )


def make_sheet(
    images: Sequence[NDArray[np.uint8]],
    labels: Sequence[str],
    regions: Sequence[Region],
    columns: int,
) -> NDArray[np.uint8]:
    """Return images of one size at full resolution, with labels and enlarged regions under each.

    Parameters
    ----------
    images
        (H, W, 3) each.
    labels
        As many.
    regions
        What is outlined and enlarged, each in its own colour; pixels are repeated, not blended.
    columns
        How many images stand side by side.

    Returns
    -------
    array of uint8, (H', W', 3)
        Text is as large as fits: labels that are too long are shortened.
    """
    height, width = images[0].shape[:2]
    layout = _Layout.of(width, height, len(regions))
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    size = (
        columns * (width + layout.gap) + layout.gap,
        rows * (layout.tile + 2 * layout.gap),
    )
    sheet = Image.new("RGB", size, _PAPER)
    font = _font(labels, layout)
    for place, (image, label) in enumerate(zip(images, labels, strict=True)):
        row, column = divmod(place, columns)
        left = layout.gap + column * (width + layout.gap)
        top = layout.gap + row * (layout.tile + 2 * layout.gap)
        _draw_tile(sheet, (left, top), image, label, regions, layout, font)
    return np.asarray(sheet)


def _draw_tile(
    sheet: Image.Image,
    corner: tuple[int, int],
    image: NDArray[np.uint8],
    label: str,
    regions: Sequence[Region],
    layout: _Layout,
    font: Any,
) -> None:
    left, top = corner
    picture = Image.fromarray(image)
    # Regions are cut out before they are outlined: an outline is no part of any inset.
    insets = [
        _framed(picture.crop((r.x, r.y, r.x + r.size, r.y + r.size)), colour, layout)
        for r, colour in zip(regions, COLOURS, strict=False)
    ]
    pen = ImageDraw.Draw(picture)
    for region, colour in zip(regions, COLOURS, strict=False):
        _outline(pen, (region.x, region.y), region.size, colour, layout.line)
    sheet.paste(picture, corner)
    for place, inset in enumerate(insets):
        row, column = divmod(place, layout.across)
        # A row that is not full stands in the middle.
        count = min(layout.across, len(insets) - row * layout.across)
        taken = count * layout.inset + (count - 1) * layout.gap
        x = left + (layout.width - taken) // 2 + column * (layout.inset + layout.gap)
        y = top + layout.height + layout.gap + row * (layout.inset + layout.gap)
        sheet.paste(inset, (x, y))
    middle = (left + layout.width / 2, top + layout.tile - 0.8 * layout.text)
    text = _shortened(label, font, layout.width)
    ImageDraw.Draw(sheet).text(middle, text, fill=_INK, font=font, anchor="mm")


def _framed(region: Image.Image, colour: str, layout: _Layout) -> Image.Image:
    """Enlarge a region and put it, uncovered, into a frame of its colour."""
    frame = 2 * layout.line
    inside = max(1, layout.inset - 2 * frame)
    framed = Image.new("RGB", (layout.inset, layout.inset), colour)
    framed.paste(region.resize((inside, inside), Image.Resampling.NEAREST), (frame, frame))
    return framed


def _outline(
    pen: ImageDraw.ImageDraw, corner: tuple[int, int], size: int, colour: str, line: int
) -> None:
    """Outline a region just outside of it, with a dark edge that shows on every picture.

    At a border of the picture the outline is inside, so that all four sides are seen.
    """
    width, height = pen.im.size
    x, y = corner
    for inside, margin, ink, pixels in ((0, line + 1, _INK, 1), (1, line, colour, line)):
        box = (
            max(x - margin, inside),
            max(y - margin, inside),
            min(x + size - 1 + margin, width - 1 - inside),
            min(y + size - 1 + margin, height - 1 - inside),
        )
        pen.rectangle(box, None, ink, pixels)


def _font(labels: Sequence[str], layout: _Layout) -> Any:
    """Return the font, of one size for all labels, in which the longest fits if any does."""
    size = layout.text
    font = ImageFont.load_default(size)
    while size > _SMALLEST_FONT and any(font.getlength(t) > layout.width for t in labels):
        size -= 1
        font = ImageFont.load_default(size)
    return font


def _shortened(label: str, font: Any, width: int) -> str:
    if font.getlength(label) <= width:
        return label
    kept = label
    while kept and font.getlength(kept + "...") > width:
        kept = kept[:-1]
    return kept + "..."
