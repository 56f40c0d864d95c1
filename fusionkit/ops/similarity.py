"""How alike two images are: PSNR, SSIM of moments in a caller's own windows, and of gradients."""

from __future__ import annotations

import torch
from torch import Tensor

MOST = 100.0
"""The PSNR of equal images, in dB, so that a mean over a set that holds such a pair is a number.
It lies far above the 58.9 dB that rounding to 8 bits leaves, and so hides no difference."""


def psnr(error: Tensor, peak: float) -> Tensor:
    """Return 10 log10(peak² / error) in dB, at most :data:`MOST`.

    Parameters
    ----------
    error
        Mean squared errors, of any shape, >= 0.
    peak
        The span of the values: 255, or 1.
    """
    return 10 * torch.log10(peak**2 / error.clamp_min(peak**2 * 10 ** (-MOST / 10)))


def ssim_map(x: Tensor, y: Tensor, xx: Tensor, yy: Tensor, xy: Tensor, span: float) -> Tensor:
    """Return (2 x y + C1)(2 xy + C2) / ((x² + y² + C1)(xx + yy + C2)), window by window.

    Wang, Bovik, Sheikh and Simoncelli, IEEE Trans. Image Process. 13 (2004) 600-612, with
    C1 = (0.01 span)² and C2 = (0.03 span)². Differentiable.

    Parameters
    ----------
    x, y
        Means of two images in every window.
    xx, yy, xy
        Their variances, and their covariance. All of shapes that go together.
    span
        Of the values: 255, or 2 where they are in [-1, 1].
    """
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    alike = (2 * x * y + c1) * (2 * xy + c2)
    return alike / ((x.square() + y.square() + c1) * (xx + yy + c2))


def gradient_difference(x: Tensor, y: Tensor) -> Tensor:
    """Squared difference of the forward-difference gradients of two images, mean over channels.

    Parameters
    ----------
    x, y
        (..., C, H, W), of one shape.

    Returns
    -------
    Tensor
        (..., 1, H, W), >= 0. The last row and column have no difference past the border.
    """
    difference = x - y
    squares = torch.zeros_like(difference)
    squares[..., :-1] += difference.diff(dim=-1).square_()
    squares[..., :-1, :] += difference.diff(dim=-2).square_()
    return squares.mean(-3, keepdim=True)
