"""SSIM, and the quality indices that are built on its terms: Qy, Qw, Qe."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from fusionkit.ops import ssim_map

from .filters import box, gaussian, gradients, smooth, strips
from .measure import Local, Measure, average, centred

# Moments are taken about mid-grey: squares of smaller numbers, less cancellation.
MID = 127.5

# A variance below this (a standard deviation of 1e-4 grey levels) is rounding.
_FLAT = 1e-8


class Moments:
    """Means, variances and covariance with the fused image of all sources, in every window.

    Means are about mid-grey. (B, h, w) of the fused image and (K, B, h, w) else.
    """

    def __init__(self, fused: Tensor, sources: Tensor, window: tuple[float, ...]) -> None:
        K = len(sources)
        maps = fused.new_empty(2 + 3 * K, *fused.shape)
        images, squares, products = _parts(maps, K)
        torch.sub(fused, MID, out=images[0])
        torch.sub(sources, MID, out=images[1:])
        torch.mul(images, images, out=squares)
        torch.mul(images[1:], images[0], out=products)
        means, squares, products = _parts(smooth(maps, window), K)
        variances = squares.addcmul_(means, means, value=-1).clamp_min_(0)
        self.mean_fused, self.mean = means[0], means[1:]
        self.variance_fused, self.variance = variances[0], variances[1:]
        self.covariance = products.addcmul_(self.mean, self.mean_fused, value=-1)

    @classmethod
    def in_strips(
        cls, fused: Tensor, sources: Tensor, window: tuple[float, ...]
    ) -> Iterator[tuple[slice, Moments]]:
        """Yield the moments of strips of windows, each with the rows of pixels that they span."""
        more = len(window) - 1
        for windows in strips(fused.shape[-2] - more, fused.shape[-1] - more):
            rows = slice(windows.start, windows.stop + more)
            yield rows, cls(fused[..., rows, :], sources[..., rows, :], window)

    def quality(self) -> Tensor:
        """Wang and Bovik's universal quality index with each source, (K, B, h, w)."""
        return universal_quality(
            self.mean, self.mean_fused, self.variance, self.variance_fused, self.covariance
        )


def _parts(maps: Tensor, K: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cut into what there is of all images, their squares, and products with the first of them."""
    return maps[: K + 1], maps[K + 1 : 2 * K + 2], maps[2 * K + 2 :]


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
        return average(self._similar(fused, sources, where)).sum(0)

    def _similar(
        self, fused: Tensor, sources: Tensor, where: Tensor | None
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield strips of the map, (K, B, h, w), and what of it counts."""
        window = box(7) if self.uniform else gaussian(11, 1.5)
        for rows, m in Moments.in_strips(fused, sources, window):
            means = m.mean + MID, m.mean_fused + MID
            second = m.variance, m.variance_fused, m.covariance
            if self.uniform:
                xx, yy, xy = (moment * (49 / 48) for moment in second)
                second = xx, yy, xy
            similar = ssim_map(*means, *second, span=self.span)
            yield similar, None if where is None else centred(where[..., rows, :], similar)


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
        return average(self._quality(fused, sources))

    def _quality(self, fused: Tensor, sources: Tensor) -> Iterator[tuple[Tensor, None]]:
        window = gaussian(7, 1.5)
        for rows, quality in Moments.in_strips(fused, sources, window):
            first, second = sources[..., rows, :]
            of_sources = Moments(first, second[None], window).quality()[0]
            with_fused = quality.quality()
            weighted = (shares(quality.variance) * with_fused).sum(0)
            yield torch.where(of_sources >= 0.75, weighted, with_fused.amax(0)), None


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
    return average(_weighted_quality(fused, sources))


def _weighted_quality(fused: Tensor, sources: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for _, moments in Moments.in_strips(fused, sources, box(8)):
        quality = (shares(moments.variance) * moments.quality()).sum(0)
        saliency = moments.variance.amax(0)
        yield quality, saliency.where(saliency >= _FLAT, 0.0)
