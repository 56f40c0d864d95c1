"""Blurring and gradients of images, for degradations and for the loss."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad


@lru_cache(maxsize=8)
def _cosines(size: int) -> tuple[Tensor, Tensor]:
    """Return the orthonormal DCT-II, (S, S), and its frequencies in cycles a pixel."""
    frequency = torch.arange(size) / (2 * size)
    basis = torch.cos(2 * math.pi * frequency[:, None] * (torch.arange(size) + 0.5))
    basis *= math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis, frequency


def gaussian_matrix(size: int, deviation: Tensor | float) -> Tensor:
    """Return the matrix that blurs an axis of ``size`` pixels, mirrored past its ends.

    Parameters
    ----------
    size
        S.
    deviation
        Of the Gaussian in pixels, (...), of any size; 0 changes nothing.

    Returns
    -------
    Tensor
        (..., S, S).
    """
    basis, frequency = _cosines(size)
    spread = torch.as_tensor(deviation)[..., None]
    gain = torch.exp(-2 * (math.pi * spread * frequency) ** 2)
    return basis.mT @ (gain[..., None] * basis)


def blur(images: Tensor, matrix: Tensor) -> Tensor:
    """Blur both axes of square images (..., S, S) by :func:`gaussian_matrix`."""
    return matrix @ images @ matrix.mT


def gaussian_blur(images: Tensor, deviation: Tensor | float) -> Tensor:
    """Blur square images (..., S, S)."""
    return blur(images, gaussian_matrix(images.shape[-1], deviation))


def disc_blur(images: Tensor, radius: float) -> Tensor:
    """Blur images (N, S, S) by a disc, as a lens out of focus does; 0 changes nothing."""
    half = math.ceil(radius)
    if half == 0:
        return images
    along = torch.arange(-half, half + 1).float()
    # A pixel at the rim counts by how much of it lies inside.
    inside = (radius + 0.5 - torch.hypot(along[:, None], along)).clamp(0, 1)
    disc = inside / inside.sum()
    around = pad(images[:, None], (half,) * 4, mode="reflect")
    return conv2d(around, disc[None, None])[:, 0]


def gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    """Forward differences of images (..., H, W) along rows and columns."""
    return images.diff(dim=-1), images.diff(dim=-2)
