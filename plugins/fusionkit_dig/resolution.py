"""Gains at a lower resolution: what they cost falls with the square of the factor."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate

LEAST_SIDE = 32
"""Pixels below which a source is not shrunk: gains of what is left would say little."""

LEAST_WINDOW = 3
"""Side of the smallest region, in pixels of the shrunk source."""


def fitting_factor(factor: int, height: int, width: int) -> int:
    """Return a factor, halved until the shorter side, divided by it, is LEAST_SIDE at least."""
    while factor > 1 and -(-min(height, width) // factor) < LEAST_SIDE:
        factor //= 2
    return factor


def scaled_window(window: int, factor: int) -> int:
    """Return the odd side nearest to window / factor; pixels (1) and images (0) stay such."""
    if window <= 1 or factor == 1:
        return window
    return max(LEAST_WINDOW, 2 * round((window / factor - 1) / 2) + 1)


def enlarged(maps: Tensor, factor: int, height: int, width: int) -> Tensor:
    """Enlarge maps (K, B, 1, h, w) bilinearly to (K, B, 1, height, width).

    A small pixel lies at the centre of its block of factor x factor pixels, of which
    the last ones may reach past the border. Weights stay on the simplex: what
    is between pixels is a convex combination of them, the same for every source.
    """
    if factor == 1:
        return maps
    whole: Tensor = interpolate(
        maps.flatten(0, 1), scale_factor=factor, mode="bilinear", align_corners=False
    )
    return whole[..., :height, :width].view(*maps.shape[:3], height, width)
