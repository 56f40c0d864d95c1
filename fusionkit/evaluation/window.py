"""Where all sources of a scene show it: nothing else is measured.

A source may have pixels without data, NaN or declared, in which a run lets the others count
alone. Whatever stood there for a metric would be invented; and since windows of metrics reach
over many pixels, leaving such pixels out one by one would not do. So the images are cut to the
largest rectangle in which there are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from ..imaging import Picture

LEAST_SHARE = 0.25
"""Of the pixels that all sources show, what the rectangle must hold to speak for them."""


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels, ``height`` x ``width``, its upper left corner at ``left``, ``top``."""

    left: int
    top: int
    width: int
    height: int

    def cut(self, picture: Picture) -> Picture:
        """Return the picture inside the window.

        Raises
        ------
        ImageError
            It has pixels without data there.
        """
        mask = picture.mask
        if mask is not None and not self._of(mask).all():
            hidden = int(np.count_nonzero(~self._of(mask)))
            raise ImageError(
                f"{picture.name}: {hidden} pixels without data where all sources have some: "
                "it cannot be measured"
            )
        if (self.height, self.width) == picture.shape:
            return picture
        alpha = None if picture.alpha is None else self._of(picture.alpha)
        return replace(picture, pixels=self._of(picture.pixels), alpha=alpha, mask=None)

    def _of(self, pixels: NDArray[Any]) -> NDArray[Any]:
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


def shared_window(pictures: Sequence[Picture]) -> tuple[Window, str]:
    """Return the largest rectangle in which all sources show the scene, and a note if it is less.

    Parameters
    ----------
    pictures
        The sources of a scene, of one size.

    Returns
    -------
    window, note
        The note is empty where all show all of it.

    Raises
    ------
    ImageError
        It would hold less than LEAST_SHARE of the pixels that all of them show.
    """
    height, width = pictures[0].shape
    masks = {picture.name: picture.mask for picture in pictures if picture.mask is not None}
    if not masks:
        return Window(0, 0, width, height), ""
    shown = np.logical_and.reduce(list(masks.values()))
    window = largest_rectangle(shown)
    area, size = window.width * window.height, f"{window.width}x{window.height}"
    names = " and ".join(masks)
    if area < LEAST_SHARE * np.count_nonzero(shown) or min(window.width, window.height) < 2:
        raise ImageError(
            f"{names}: pixels without data leave no rectangle that is worth measuring (the "
            f"largest is {size}): fill them, or cut the images to where there are none"
        )
    return window, (
        f"{names}: pixels without data: measured in the largest rectangle without, {size} pixels "
        f"at {window.left},{window.top}, {area / shown.size:.0%} of the image"
    )


def largest_rectangle(shown: NDArray[np.bool_]) -> Window:
    """Return the largest rectangle that is true throughout, of (H, W); of size 0 if there is none.

    Row by row, over the heights of the columns that end there: each column's rectangle reaches
    as far to both sides as columns are as high, which a stack of rising columns tells.
    """
    best = Window(0, 0, 0, 0)
    heights = np.zeros(shown.shape[1], np.int64)
    for row, here in enumerate(shown):
        heights = (heights + 1) * here
        rising: list[tuple[int, int]] = []  # where a height begins, and the height
        for column, height in enumerate([*heights.tolist(), 0]):
            begin = column
            while rising and rising[-1][1] >= height:
                begin, above = rising.pop()
                if above * (column - begin) > best.width * best.height:
                    best = Window(begin, row - above + 1, column - begin, above)
            rising.append((begin, height))
    return best
