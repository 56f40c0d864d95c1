"""VIF: visual information fidelity in the pixel domain."""

from __future__ import annotations

import torch
from torch import Tensor

from .filters import gaussian, smooth
from .measure import Local, centred
from .similarity import MID

_NOISE = 2.0
_EPSILON = 1e-10


class VisualInformation(Local):
    """VIF = Σ_k Σ log2(1 + g² σ_k² / (σ_v² + σ_n²)) / Σ log2(1 + σ_k² / σ_n²).

    Sheikh and Bovik (2006), their variant in the pixel domain (vifp): the
    source k is the reference, F = g k + v in every window, sums over windows
    and four scales. Scale s has Gaussian windows of n = 2^(5-s) + 1 pixels and
    σ = n/5 (17, 9, 5, 3), and is every second pixel of the scale before,
    smoothed with its own window; only windows inside the image count. σ_n² = 2,
    in grey levels of 0-255.

    An image fused from itself gives 1 per source. A constant source, which has
    no information to lose, gives 1 as well.
    """

    name = "vif"
    convention = (
        "sum over sources of vifp: 4 scales, Gaussian windows 17 9 5 3, noise variance 2 on 0-255"
    )
    bounds = (0.0, float("inf"))
    reference = "Sheikh, Bovik, IEEE Trans. Image Process. 15 (2006) 430-444"
    summed = True
    least_side = 41

    def measure(self, fused: Tensor, sources: Tensor, where: Tensor | None = None) -> Tensor:
        """Return (B,)."""
        maps = torch.cat([fused[None], sources]) - MID
        kept, there = sources.new_zeros(sources.shape[:2]), sources.new_zeros(sources.shape[:2])
        for scale, size in enumerate((17, 9, 5, 3)):
            window = gaussian(size, size / 5)
            if scale:
                maps = smooth(maps, window, step=2)
                inside = slice(size // 2, -(size // 2), 2)
                where = None if where is None else where[..., inside, inside]
            of_fused, of_source = _information(maps[0], maps[1:], window, where)
            kept += of_fused
            there += of_source
        return torch.where(there > 0, kept / there.where(there > 0, 1.0), 1.0).sum(0)


def _information(
    f: Tensor, s: Tensor, window: tuple[float, ...], where: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Sum what one scale of F (B, h, w) and of the sources (K, B, h, w) carries, each (K, B).

    Of the windows whose centre is in ``where`` (B, h, w), if it is given.
    """
    mean_f, mean_s = smooth(f, window), smooth(s, window)
    variance_f = (smooth(f * f, window) - mean_f.square()).clamp_min_(0)
    variance = (smooth(s * s, window) - mean_s.square()).clamp_min_(0)
    covariance = smooth(s * f, window) - mean_s * mean_f

    gain = covariance / (variance + _EPSILON)
    noise = variance_f - gain * covariance
    # The special cases of the authors: a flat source explains nothing, a flat F
    # has nothing to explain, and a negative gain is no transmission.
    flat = variance < _EPSILON
    noise = noise.where(~flat, variance_f)
    gain = gain.masked_fill_(flat, 0)
    variance = variance.masked_fill_(flat, 0)
    empty = variance_f < _EPSILON
    noise = noise.masked_fill_(empty, 0)
    gain = gain.masked_fill_(empty, 0)
    inverse = gain < 0
    noise = torch.where(inverse, variance_f, noise).clamp_min_(_EPSILON)
    gain = gain.masked_fill_(inverse, 0)

    of_fused = gain.square_().mul_(variance).div_(noise.add_(_NOISE)).log1p_()
    of_source = variance.div_(_NOISE).log1p_()
    if where is not None:
        inside = centred(where, of_source)
        of_fused, of_source = of_fused * inside, of_source * inside
    return of_fused.sum((-2, -1)), of_source.sum((-2, -1))
