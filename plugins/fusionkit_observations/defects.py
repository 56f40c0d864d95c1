"""Dead and stuck pixels, rows and columns of a sensor, found in one image of it.

What is found differs from all that surrounds it by far more than neighbours differ elsewhere.
An isolated point of light does so too, and a thin wire all across the image: a mask
that is known is better than one that was guessed.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad, unfold

_FAR = 6.0
"""How many times the usual difference, as a standard deviation, is a defect."""

_LEAST = 8 / 127.5
"""What no pixel is called dead for, in units of images in [-1, 1]: 8 grey levels."""

_LEAST_LINE = 3 / 127.5
"""The same for rows and columns, of which the median is looked at."""

_NORMAL = 1.4826  # from the median of absolute values to the standard deviation
_WIDEST = 2  # rows, of a stripe


def dead_pixels(image: Tensor) -> Tensor:
    """Return where an image (h, w) has dead or stuck pixels, alone or two side by side.

    A pixel is dead if it lies beyond all but one of its eight neighbours by more than
    what is usual in the image, and by more than these differ among themselves.
    """
    around = unfold(pad(image[None, None], (1, 1, 1, 1), mode="reflect"), 3)[0]
    ring = torch.cat([around[:4], around[5:]]).sort(0).values.view(8, *image.shape)
    low, high, middle = ring[1], ring[6], (ring[3] + ring[4]) / 2
    usual = _NORMAL * (image - middle).abs().median()
    beyond = torch.maximum(image - high, low - image)
    return beyond > torch.maximum((_FAR * usual).clamp(min=_LEAST), 1.5 * (high - low))


def dead_lines(image: Tensor) -> Tensor:
    """Return where an image (h, w) has rows or columns off their neighbours, up to two wide."""
    rows, columns = _stripes(image), _stripes(image.mT)
    return rows[:, None] | columns


def _stripes(image: Tensor) -> Tensor:
    """Return which rows (h,) lie above both sides, or below both, in most of their pixels."""
    found = torch.zeros(len(image), dtype=torch.bool, device=image.device)
    for width in range(1, _WIDEST + 1):
        if len(image) < width + 6:  # too few to know what is usual
            continue
        steps = (image[1:] - image[:-1]).median(1).values
        into, out = steps[: len(steps) - width], -steps[width:]
        off = torch.where(into * out > 0, torch.minimum(into.abs(), out.abs()), 0)
        usual = _NORMAL * steps.abs().median()
        begins = off > (_FAR * usual).clamp(min=_LEAST_LINE)
        for n in range(width):
            found[1 + n : 1 + n + len(begins)] |= begins
    return found
