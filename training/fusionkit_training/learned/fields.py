"""Random maps that are smooth, and regions made of them."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate

from .draw import Draw


def smooth_fields(count: int, size: int, draw: Draw, finest: int = 9) -> Tensor:
    """Return smooth random maps (N, S, S), about standard normal, with bumps of one random size.

    Half of the time around levels of their own, so that one may be the largest all over the image.
    Otherwise a source that is sharper everywhere would always be a noisy one in training, and
    away from borders the network would prefer what is blurred (it did).
    """
    cells = draw.whole(2, finest)
    grid = 1.3 * draw.normal(count, 1, cells, cells)
    if draw.chance(0.5):
        grid = grid + 2 * draw.normal(count, 1, 1, 1)
    return interpolate(grid, (size, size), mode="bicubic", align_corners=True)[:, 0]


def regions(count: int, size: int, draw: Draw) -> Tensor:
    """Return a random partition of the image into parts with smooth borders: (N, S, S) of 0, 1.

    Some parts may be empty.
    """
    fields = smooth_fields(count, size, draw)
    return (fields == fields.amax(0)).float()
