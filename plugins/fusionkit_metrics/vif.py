"""VIF: visual information fidelity in the pixel domain."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .filters import gaussian, smooth
from .measure import Local, centred
from .similarity import Moments

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
        maps = torch.cat([fused[None], sources])
        kept, there = sources.new_zeros(sources.shape[:2]), sources.new_zeros(sources.shape[:2])
        for scale, size in enumerate((17, 9, 5, 3)):
            window = gaussian(size, size / 5)
            if scale:
                maps = smooth(maps, window, step=2)
                inside = slice(size // 2, -(size // 2), 2)
                where = None if where is None else where[..., inside, inside]
            for rows, moments in Moments.in_strips(maps[0], maps[1:], window):
                of_fused, of_source = _information(moments)
                if where is not None:
                    counts = centred(where[..., rows, :], of_source)
                    of_fused, of_source = of_fused * counts, of_source * counts
                kept += of_fused.sum((-2, -1))
                there += of_source.sum((-2, -1))
        return torch.where(there > 0, kept / there.where(there > 0, 1.0), 1.0).sum(0)


def _information(m: Moments) -> tuple[Tensor, Tensor]:
    """Return what the windows of F and of the sources carry, (K, B, h, w) each.

    The special cases of the authors: nothing of a source arrives where it is flat, where F is,
    and where the gain is negative; and a flat source has nothing.
    """
    arriving = m.covariance.clamp_min_(0)
    gain = arriving / (m.variance + _EPSILON)
    gain *= torch.gt(m.variance_fused, _EPSILON, out=torch.empty_like(m.variance_fused))
    noise = torch.addcmul(m.variance_fused, gain, arriving, value=-1).clamp_min_(_EPSILON)
    variance = functional.threshold(m.variance, _EPSILON, 0)
    of_fused = gain.square_().mul_(variance).div_(noise.add_(_NOISE)).log1p_()
    return of_fused, variance.div_(_NOISE).log1p_()
