"""SSIM, and the quality indices that are built on its terms: Qy, Qw, Qe."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionkit.ops import ssim_map

from .filters import box, gaussian, gradients, smooth
from .measure import Local, Measure, mean, weighted_mean

# Moments are taken about mid-grey: squares of smaller numbers, less cancellation.
MID = 127.5

# A variance below this (a standard deviation of 1e-4 grey levels) is rounding.
_FLAT = 1e-8


class Moments:
    """Means, variances and covariance with the fused image of all sources, in every window.

    ``of_fused`` and ``of_sources`` are about mid-grey, (B, h, w) and (K, B, h, w).
    """

    def __init__(self, fused: Tensor, sources: Tensor, window: tuple[float, ...]) -> None:
        f, s = fused - MID, sources - MID
        self.mean_fused = smooth(f, window)
        self.mean = smooth(s, window)
        self.variance_fused = (smooth(f * f, window) - self.mean_fused.square()).clamp_min_(0)
        self.variance = (smooth(s * s, window) - self.mean.square()).clamp_min_(0)
        self.covariance = smooth(s * f, window) - self.mean * self.mean_fused

    def quality(self) -> Tensor:
        """Wang and Bovik's universal quality index with each source, (K, B, h, w)."""
        return universal_quality(
            self.mean, self.mean_fused, self.variance, self.variance_fused, self.covariance
        )


def universal_quality(x: Tensor, y: Tensor, xx: Tensor, yy: Tensor, xy: Tensor) -> Tensor:
    """Q_0 = 2 x̄ ȳ / (x̄² + ȳ²) · 2 σ_xy / (σ_x² + σ_y²), from moments about mid-grey.

    A factor with 0 / 0, black with black or flat with flat, is 1.
    """
    x, y = x + MID, y + MID
    flat_x, flat_y = xx < _FLAT, yy < _FLAT
    squares = x.square() + y.square()
    luminance = torch.where(squares > _FLAT, 2 * x * y / squares.clamp_min(_FLAT), 1.0)
    structure = torch.where(flat_x | flat_y, 0.0, 2 * xy / (xx + yy).clamp_min(_FLAT))
    return luminance * structure.where(~(flat_x & flat_y), torch.ones_like(structure))


def shares(variances: Tensor) -> Tensor:
    """λ_k = σ_k² / Σ σ², (K, ...); 1 / K where all are flat."""
    snapped = variances.where(variances >= _FLAT, 0.0)
    total = snapped.sum(0)
    return torch.where(total > 0, snapped / total.where(total > 0, 1.0), 1 / variances.shape[0])


class StructuralSimilarity(Local):
    """SSIM = Σ_k mean (2 μ_k μ_F + C1)(2 σ_kF + C2) / ((μ_k² + μ_F² + C1)(σ_k² + σ_F² + C2)).

    Wang, Bovik, Sheikh and Simoncelli (2004): Gaussian 11 x 11 windows of σ 1.5
    that lie inside the image, C1 = (0.01·255)², C2 = (0.03·255)². Equal images
    give 1 per source, constant or not.

    Parameters
    ----------
    window
        ``gaussian``: as above. ``uniform``: 7 x 7 pixels alike and the sample covariance, the
        defaults of scikit-image.
    span
        Instead of 255 in C1 and C2: 2 is what scikit-image took for images of floats.
    """

    name = "ssim"
    reference = "Wang, Bovik, Sheikh, Simoncelli, IEEE Trans. Image Process. 13 (2004) 600-612"
    summed = True
    least_side = 11

    def __init__(self, window: str = "gaussian", span: float = 255.0) -> None:
        self.uniform, self.span = window == "uniform", span
        shape = "Gaussian 11 x 11 windows, sigma 1.5"
        if self.uniform:
            shape = "uniform 7 x 7 windows, sample covariance"
        self.convention = f"sum over sources, {shape}, valid part, range {span:g}"

    def measure(self, fused: Tensor, sources: Tensor, where: Tensor | None = None) -> Tensor:
        """Return (B,)."""
        m = Moments(fused, sources, box(7) if self.uniform else gaussian(11, 1.5))
        means = m.mean + MID, m.mean_fused + MID
        second = m.variance, m.variance_fused, m.covariance
        if self.uniform:
            xx, yy, xy = (moment * (49 / 48) for moment in second)
            second = xx, yy, xy
        similar = ssim_map(*means, *second, span=self.span)
        return mean(similar, where).sum(0)


class Yang(Measure):
    """Qy = mean of λ SSIM(A, F) + (1 - λ) SSIM(B, F) where SSIM(A, B) >= 0.75, else of the larger.

    Yang, Zhang, Wang and Liu (2008), λ = σ_A² / (σ_A² + σ_B²). As in Liu's
    toolbox, windows are Gaussian 7 x 7 of σ 1.5 and SSIM has no constants to
    speak of, which makes it the universal quality index. Where both sources are
    flat λ is 1/2; the toolbox leaves such windows out.
    """

    name = "qy"
    convention = (
        "Gaussian 7 x 7 windows, sigma 1.5, step 1, SSIM with C1 = C2 = 0, threshold 0.75, "
        "lambda 1/2 where both are flat; two sources"
    )
    sources: str | int = 2
    bounds = (-1.0, 1.0)
    reference = "Yang, Zhang, Wang, Liu, Inf. Fusion 9 (2008) 156-160"
    least_side = 7

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        window = gaussian(7, 1.5)
        quality = Moments(fused, sources, window)
        of_sources = Moments(sources[0], sources[1:], window).quality()[0]
        with_fused = quality.quality()
        weighted = (shares(quality.variance) * with_fused).sum(0)
        return mean(torch.where(of_sources >= 0.75, weighted, with_fused.amax(0)))


class PiellaWeighted(Measure):
    """Qw = Σ_w c(w) Σ_k λ_k(w) Q_0(k, F | w), c(w) in proportion to max_k s(k | w).

    Piella and Heijmans (2003): Q_0 the universal quality index, the saliency s
    of a window its variance, λ_k = s(k) / Σ s. Windows are 8 x 8, uniform, at
    every pixel. Windows count alike where the sources have no variance at all.
    """

    name = "qw"
    convention = "universal quality index, uniform 8 x 8 windows, step 1, saliency = variance"
    bounds = (-1.0, 1.0)
    reference = "Piella, Heijmans, Proc. ICIP 2003, III-173-176"
    least_side = 8

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        return weighted_quality(fused, sources)


class PiellaEdges(PiellaWeighted):
    """Qe = Qw(A, B, F) · Qw(A', B', F'), where ' is the gradient's magnitude.

    Piella and Heijmans (2003) with the exponent α = 1. The edge images are, as
    in Liu's toolbox, magnitudes of Prewitt's operator; but with replicated
    borders: zeros make a frame of the strongest edges of all, which Qw's weights
    then look at instead of the image.
    """

    name = "qe"
    convention = "Qw of the images times Qw of their Prewitt edges (replicated border), alpha 1"

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        edges = torch.hypot(*gradients(fused, "replicate", centre=1.0))
        of_sources = torch.hypot(*gradients(sources, "replicate", centre=1.0))
        return weighted_quality(fused, sources) * weighted_quality(edges, of_sources)


def weighted_quality(fused: Tensor, sources: Tensor) -> Tensor:
    """Piella's Q_W of (B, H, W) and (K, B, H, W)."""
    moments = Moments(fused, sources, box(8))
    quality = (shares(moments.variance) * moments.quality()).sum(0)
    saliency = moments.variance.amax(0)
    return weighted_mean(quality, saliency.where(saliency >= _FLAT, 0.0), (-2, -1))
