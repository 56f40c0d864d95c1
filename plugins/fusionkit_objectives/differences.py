"""Forward differences on an image mirrored at its border, and the solve that goes with them.

The difference across the border of a mirrored image is zero, and the operator
∇ᵀ∇ of these differences is diagonal in the cosine transform (DCT-II).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

BAND = 2**20
"""About how many values are transformed at once."""


class Gradient(NamedTuple):
    """Forward differences to the right neighbour and to the one below, (..., H, W) each."""

    right: Tensor
    below: Tensor


def gradient(image: Tensor) -> Gradient:
    """Return ∇ image; the last column and row, whose neighbours are their mirror images, are 0."""
    right = pad(image.diff(dim=-1), (0, 1))
    below = pad(image.diff(dim=-2), (0, 0, 0, 1))
    return Gradient(right, below)


def weighted_gradient(weights: Tensor, images: Tensor) -> Gradient:
    """Return Σ_k w_k ∇c_k, (B, C, H, W) each, of (K, B, 1, H, W) and (K, B, C, H, W)."""
    right, below = torch.zeros_like(images[0]), torch.zeros_like(images[0])
    for weight, image in zip(weights.unbind(), images.unbind(), strict=True):
        right[..., :-1].addcmul_(weight[..., :-1], image.diff(dim=-1))
        below[..., :-1, :].addcmul_(weight[..., :-1, :], image.diff(dim=-2))
    return Gradient(right, below)


def gradient_transposed(of: Gradient) -> Tensor:
    """Return ∇ᵀ of a pair of maps: the adjoint of :func:`gradient`."""
    right, below = of.right[..., :-1], of.below[..., :-1, :]
    result = torch.zeros_like(of.right)
    result[..., 1:] += right
    result[..., :-1] -= right
    result[..., 1:, :] += below
    result[..., :-1, :] -= below
    return result


def solve_screened(right_side: Tensor, screen: float, smoothness: float) -> Tensor:
    """Solve (screen + smoothness ∇ᵀ∇) f = right_side exactly, with mirrored borders.

    By cosine transforms, some rows or columns at a time, so that beside the
    result there is little to hold.

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
    solved = right_side.clone(memory_format=torch.contiguous_format).view(-1, H, W)
    rows = torch.split(solved.view(-1, W), max(1, BAND // W))
    for band in rows:
        band.copy_(cosine_transform(band))
    down = _eigenvalues(H, right_side)
    width = max(1, BAND // (len(solved) * H))
    columns = torch.split(solved, width, -1), torch.split(_eigenvalues(W, right_side), width)
    for band, across in zip(*columns, strict=True):
        spectrum = cosine_transform(band.mT)
        spectrum /= screen + smoothness * (across[:, None] + down)
        band.copy_(inverse_cosine_transform(spectrum).mT)
    for band in rows:
        band.copy_(inverse_cosine_transform(band))
    return solved.view(right_side.shape)


def cosine_transform(signals: Tensor) -> Tensor:
    """Return the cosine transform Σ_n x_n cos(π k (2n + 1) / 2N) of each row, (..., N).

    By a Fourier transform of length N: the even places, then the odd ones backwards (Makhoul,
    IEEE Trans. Acoust. Speech Signal Process. 28, 1980, 27-34).
    """
    N = signals.shape[-1]
    order = torch.cat([signals[..., ::2], signals[..., 1::2].flip(-1)], -1)
    spectrum = torch.fft.rfft(order)
    real, imaginary = _turned(spectrum.real, spectrum.imag, -N)
    # The other half: X_{N-k} = -Im of what X_k is the real part of.
    return torch.cat([real, imaginary[..., 1 : N - N // 2].flip(-1).neg_()], -1)


def inverse_cosine_transform(spectrum: Tensor) -> Tensor:
    """Return the signals (..., N) of which this is the :func:`cosine_transform`."""
    N = spectrum.shape[-1]
    half = N // 2 + 1
    mirrored = spectrum[..., N - half + 1 :].flip(-1)  # X_{N-1} ... for k = 1 ... N/2
    imaginary = torch.cat([torch.zeros_like(spectrum[..., :1]), mirrored], -1).neg_()
    turned = torch.complex(*_turned(spectrum[..., :half], imaginary, N))
    order = torch.fft.irfft(turned, n=N)
    signals = torch.empty_like(order)
    signals[..., ::2] = order[..., : N - N // 2]
    signals[..., 1::2] = order[..., N - N // 2 :].flip(-1)
    return signals


def _turned(real: Tensor, imaginary: Tensor, N: int) -> tuple[Tensor, Tensor]:
    """Multiply complex numbers, k = 0, 1 ... along the last axis, by exp(i π k / 2N).

    In real numbers: torch rounds a complex product otherwise where a thread's share of it ends,
    so that the last bits would depend on the number of threads.
    """
    cos, sin = _turns(real.shape[-1], N, real.dtype, real.device)
    return real * cos - imaginary * sin, real * sin + imaginary * cos


@lru_cache(maxsize=16)  # the images of a folder are of one size
def _turns(count: int, N: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):  # they are kept for runs that record gradients as well
        k = torch.arange(count, dtype=dtype, device=device)
        angle = math.pi / (2 * N) * k
        return angle.cos(), angle.sin()


def _eigenvalues(size: int, like: Tensor) -> Tensor:
    """Return those of ∇ᵀ∇ along one axis: 2 - 2 cos."""
    k = torch.arange(size, dtype=like.dtype, device=like.device)
    return 2 - 2 * torch.cos(math.pi / size * k)
