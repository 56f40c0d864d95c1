"""MEF-SSIM: structural similarity for multi-exposure fusion."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from .filters import box, extend, gaussian, smooth
from .measure import Measure, mean
from .similarity import MID

SIZE = 11
_WEIGHTS = (0.0448, 0.2856, 0.3001)
C = (0.03 * 255) ** 2

# Keeps the structure of a flat patch, 0 / 0, defined; grey levels.
_LEAST = 1e-3
_TINY = 1e-12


class MultiExposure(Measure):
    """MEF-SSIM = Π_l Q_l^β_l, Q_l = mean (2 σ_rF + C) / (σ_r² + σ_F² + C) at scale l.

    Ma, Zeng and Wang (2015). In every 11 x 11 patch, with x̃_k = x_k less its
    mean, the desired patch r has the contrast max_k ‖x̃_k‖ and the structure

        Σ_k ‖x̃_k‖^p x̃_k / ‖x̃_k‖ (normalised),  p = min(10, tan(π/2 ‖Σ x̃_k‖ / Σ ‖x̃_k‖));

    brightness is not compared. C = (0.03·255)², moments of r and F under a
    Gaussian of σ 1.5, three scales by 2 x 2 means, β = .0448 .2856 .3001 over
    their sum. A negative Q_l counts as 0. It is computed from moments of pairs
    of sources, not patch by patch. Equal images, constant or not, give 1; so
    does a constant image against constant sources of any grey.
    """

    name = "mef-ssim"
    convention = (
        "11 x 11 patches, Gaussian sigma 1.5, C = (0.03*255)^2, valid part, 3 scales weighted "
        ".0448 .2856 .3001 (normalised), on luma"
    )
    bounds = (0.0, 1.0)
    reference = "Ma, Zeng, Wang, IEEE Trans. Image Process. 24 (2015) 3345-3356"
    least_side = 41

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        maps = torch.cat([fused[None], sources]) - MID
        product = fused.new_ones(fused.shape[0])
        for scale, weight in enumerate(_WEIGHTS):
            if scale:
                maps = _halve(maps)
            quality = mean(_quality(maps[0], maps[1:]))
            product = product * quality.clamp_min(0) ** (weight / sum(_WEIGHTS))
        return product


def _halve(maps: Tensor) -> Tensor:
    """Means of 2 x 2 pixels; an odd last row or column is repeated."""
    odd_rows, odd_columns = maps.shape[-2] % 2, maps.shape[-1] % 2
    even = extend(extend(maps, 0, odd_rows, -2, "replicate"), 0, odd_columns, -1, "replicate")
    return functional.avg_pool2d(even, 2)


def _quality(f: Tensor, s: Tensor) -> Tensor:
    """One scale: F (B, H, W) and the sources (K, B, H, W) to the quality map (B, h, w)."""
    within = _covariances(s, box(SIZE)) * SIZE**2  # inner products of x̃_k and x̃_l
    lengths = torch.stack([within[k, k] for k in range(len(s))]).clamp_min(0).sqrt()
    together = within.sum((0, 1)).clamp_min(0).sqrt()
    consistency = (together + _TINY) / (lengths.sum(0) + _TINY)
    power = torch.tan(math.pi / 2 * consistency.clamp(0, 1 - 1e-6)).clamp_max(10)

    strongest = lengths.amax(0) + _LEAST
    weights = ((lengths + _LEAST) / strongest) ** power
    share = weights / weights.sum(0) / (lengths + _LEAST)
    length = torch.einsum("kbhw,lbhw,klbhw->bhw", share, share, within).clamp_min(0).sqrt()
    # Patches that are flat, or cancel: there is no structure to ask for.
    some = (length > 1e-6) & (strongest > 2 * _LEAST)
    share = share * torch.where(some, strongest / length.where(some, 1.0), 0.0)

    window = gaussian(SIZE, 1.5)
    weighted = _covariances(s, window)
    variance = torch.einsum("kbhw,lbhw,klbhw->bhw", share, share, weighted).clamp_min(0)
    mean_f = smooth(f, window)
    variance_f = (smooth(f * f, window) - mean_f.square()).clamp_min(0)
    with_f = smooth(s * f, window) - smooth(s, window) * mean_f
    return (2 * (share * with_f).sum(0) + C) / (variance + variance_f + C)


def _covariances(s: Tensor, window: tuple[float, ...]) -> Tensor:
    """Covariances of all pairs of sources in every window, (K, K, B, h, w)."""
    means = smooth(s, window)
    rows = [smooth(s * s[k], window) - means * means[k] for k in range(len(s))]
    return torch.stack(rows)
