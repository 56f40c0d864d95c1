"""MS-SSIM, and GMSD: what a fused image keeps of each source at several scales, and of edges."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from .filters import gaussian, gradients
from .measure import INFINITE, Measure, average
from .similarity import MID, Moments

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_SMALLEST = 11 * 2 ** (len(_WEIGHTS) - 1)
"""Side of the smallest image with five scales, in pixels: 176."""


class MultiScale(Measure):
    """MS-SSIM = Σ_k l_5^β5 Π_j cs_j^βj, each the mean of its map at scale j.

    Wang, Simoncelli and Bovik (2003): the windows and constants of SSIM, five scales by means of
    2 x 2 pixels (an odd last row or column is left out), β = .0448 .2856 .3001 .2363 .1333. At the
    last scale l and cs are averaged together. A negative mean counts as 0. NaN for images of less
    than 176 pixels on a side, which have no five scales.
    """

    name = "ms-ssim"
    convention = (
        "sum over sources, Gaussian 11 x 11 windows, sigma 1.5, valid part, range 255, 5 scales by "
        "2 x 2 means weighted .0448 .2856 .3001 .2363 .1333, negative means 0"
    )
    bounds = (0.0, INFINITE)
    reference = "Wang, Simoncelli, Bovik, Proc. 37th Asilomar Conf. (2003) 1398-1402"
    summed = True
    partial = True

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,); NaN where the last scale is smaller than its window."""
        if min(fused.shape[-2:]) < _SMALLEST:
            return fused.new_full(fused.shape[:1], math.nan)
        product = sources.new_ones(sources.shape[:2])
        for scale, weight in enumerate(_WEIGHTS):
            if scale:
                fused, sources = _halved(fused), _halved(sources)
            similar = average(_similar(fused, sources, last=scale == len(_WEIGHTS) - 1))
            product = product * similar.clamp_min(0) ** weight
        return product.sum(0)


def _similar(fused: Tensor, sources: Tensor, last: bool) -> Iterator[tuple[Tensor, None]]:
    """Yield strips of cs, and of l cs at the last scale, (K, B, h, w)."""
    for _, m in Moments.in_strips(fused, sources, gaussian(11, 1.5)):
        similar = (2 * m.covariance + _C2) / (m.variance + m.variance_fused + _C2)
        if last:
            x, y = m.mean + MID, m.mean_fused + MID
            similar = similar * (2 * x * y + _C1) / (x.square() + y.square() + _C1)
        yield similar, None


class GradientDeviation(Measure):
    """GMSD: the standard deviation of the similarity of gradient magnitudes to a ground truth.

    Xue, Zhang, Mou and Bovik (2014): Prewitt's operator divided by 3, zero border, of images
    halved by means of 2 x 2 pixels; similarity (2 m_R m_F + c) / (m_R² + m_F² + c), c = 170.
    """

    name = "gmsd"
    higher_is_better = False
    convention = (
        "Prewitt / 3 with zero border after 2 x 2 means, c = 170 on 0-255, sample standard "
        "deviation; against a ground truth"
    )
    sources: str | int = 1
    bounds = (0.0, 1.0)
    reference = "Xue, Zhang, Mou, Bovik, IEEE Trans. Image Process. 23 (2014) 684-695"
    least_side = 4

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        f, r = (
            torch.hypot(*gradients(_halved(images), "zero", centre=1.0)) / 3
            for images in (fused, sources[0])
        )
        similar = (2 * f * r + 170) / (f.square() + r.square() + 170)
        return similar.flatten(1).std(1)


def _halved(maps: Tensor) -> Tensor:
    """Means of 2 x 2 pixels; an odd last row or column is left out."""
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    halved = functional.avg_pool2d(flat, 2)
    return halved.view(*maps.shape[:-2], *halved.shape[-2:])
