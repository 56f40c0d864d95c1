"""Blurring and gradients of images, for degradations and for the loss."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=8)
def cosines(size: int) -> tuple[Tensor, Tensor]:
    """Return the orthonormal DCT-II, (S, S), and its frequencies in cycles a pixel, (S,)."""
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
    basis, frequency = cosines(size)
    spread = torch.as_tensor(deviation)[..., None]
    gain = torch.exp(-2 * (math.pi * spread * frequency) ** 2)
    return basis.mT @ (gain[..., None] * basis)


def blur(images: Tensor, matrix: Tensor) -> Tensor:
    """Blur both axes of square images (..., S, S) by :func:`gaussian_matrix`."""
    return matrix @ images @ matrix.mT


def gaussian_blur(images: Tensor, deviation: Tensor | float) -> Tensor:
    """Blur square images (..., S, S)."""
    return blur(images, gaussian_matrix(images.shape[-1], deviation).to(images.device))


def gaussian_gain(size: int, deviation: Tensor) -> Tensor:
    """Return what a Gaussian leaves of each pair of frequencies of the DCT, (..., S, S)."""
    spread = deviation[..., None, None]
    return torch.exp(-2 * (math.pi * spread * _radius(size)) ** 2)


def disc_gain(size: int, radius: Tensor) -> Tensor:
    """Return what a disc, as of a lens out of focus, leaves of each pair, (..., S, S).

    Its Fourier transform, the jinc 2 J₁(x) / x of x = 2π radius f.
    """
    x = (2 * math.pi * radius[..., None, None] * _radius(size)).clamp(min=1e-3)
    gain: Tensor = 2 * torch.special.bessel_j1(x) / x
    return gain


@lru_cache(maxsize=8)
def _radius(size: int) -> Tensor:
    """Return the distance from 0 of each pair of frequencies, (S, S), in cycles a pixel."""
    _, frequency = cosines(size)
    return torch.hypot(frequency[:, None], frequency)
