"""Forward differences on an image mirrored at its border, and the solve that goes with them.

The difference across the border of a mirrored image is zero, and the operator
∇ᵀ∇ of these differences is diagonal in the cosine transform (DCT-II).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad


class Gradient(NamedTuple):
    """Forward differences to the right neighbour and to the one below, (..., H, W) each."""

    right: Tensor
    below: Tensor


def gradient(image: Tensor) -> Gradient:
    """Return ∇ image; the last column and row, whose neighbours are their mirror images, are 0."""
    right = pad(image.diff(dim=-1), (0, 1))
    below = pad(image.diff(dim=-2), (0, 0, 0, 1))
    return Gradient(right, below)


def gradient_transposed(of: Gradient) -> Tensor:
    """Return ∇ᵀ of a pair of maps: the adjoint of :func:`gradient`."""
    right = pad(of.right[..., :-1], (1, 1))
    below = pad(of.below[..., :-1, :], (0, 0, 1, 1))
    return -right.diff(dim=-1) - below.diff(dim=-2)


def solve_screened(right_side: Tensor, screen: float, smoothness: float) -> Tensor:
    """Solve (screen + smoothness ∇ᵀ∇) f = right_side exactly, with mirrored borders.

    The cosine transform is that of the image beside its own mirror image, which
    is periodic: an FFT of twice the height and width.

    Parameters
    ----------
    right_side
        (..., H, W).
    screen
        Greater than 0.
    smoothness
        At least 0.
    """
    if smoothness == 0:
        return right_side / screen
    H, W = right_side.shape[-2:]
    twice = torch.cat([right_side, right_side.flip(-1)], -1)
    twice = torch.cat([twice, twice.flip(-2)], -2)
    rows = _eigenvalues(2 * H, 2 * H, right_side).unsqueeze(-1)
    columns = _eigenvalues(2 * W, W + 1, right_side)
    spectrum = torch.fft.rfft2(twice) / (screen + smoothness * (rows + columns))
    solved: Tensor = torch.fft.irfft2(spectrum, s=(2 * H, 2 * W))
    return solved[..., :H, :W]


def _eigenvalues(period: int, count: int, like: Tensor) -> Tensor:
    """Return those of the negative second difference of a periodic signal: 2 - 2 cos."""
    k = torch.arange(count, dtype=like.dtype, device=like.device)
    return 2 - 2 * torch.cos(2 * math.pi / period * k)
