"""Qcv and Qcb: differences and contrasts as the eye sees them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from .filters import gaussian, gradients, pad_zero, smooth
from .histograms import stretched
from .measure import INFINITE, Measure, average, mean

_BLOCK = 16
# C' below this is a contrast of 5e-6, which is rounding, and nothing to see.
_UNSEEN = 1e-12


class ChenVarshney(Measure):
    """Qcv = Σ_k Σ_w λ_k(w) D_k(w) / Σ_k Σ_w λ_k(w), over blocks w of 16 x 16 pixels.

    Chen and Varshney (2007). D_k(w) is the mean over the block of (k - F)²,
    after the contrast sensitivity of the eye (Mannos and Sakrison's, with the
    paper's constants, r in cycles per degree)

        S(r) = 2.6 (0.0192 + 0.144 r) exp(-(0.144 r)^1.1)

    has filtered k - F; λ_k(w) = Σ g_k⁵, g Sobel's magnitude. As in Liu's
    toolbox: the exponent 5; the picture is 4 degrees wide and high; blocks at the
    right and lower border that are not complete are filled with zeros, and so
    count by what they have. Unlike it, borders are replicated for g: zeros
    around a bright image make its frame outweigh everything, by the fifth power.
    Where no source has an edge, all blocks count alike.

    Parameters
    ----------
    stretch
        Stretch each image to 0-255 first and round it, as the toolbox does: it
        then cannot see a loss of contrast over the whole image.
    """

    name = "qcv"
    higher_is_better = False
    sources: str | int = 2
    bounds = (0.0, INFINITE)
    reference = "Chen, Varshney, Inf. Fusion 8 (2007) 193-207"

    def __init__(self, stretch: bool = False) -> None:
        self.stretch = stretch
        self.convention = (
            "16 x 16 blocks, incomplete ones filled with zeros, saliency sum of Sobel^5 "
            "(replicated border), Mannos-Sakrison CSF over 4 degrees, "
            f"{_stretched(stretch)}; two sources"
        )

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        if self.stretch:
            fused, sources = stretched(fused), stretched(sources)
        edges = torch.hypot(*gradients(sources, "replicate"))
        # Relative to the strongest edge: the fifth power of grey levels is large.
        edges = edges / edges.amax((0, -2, -1), keepdim=True).clamp_min(1e-6)
        saliency = _block_sums(edges**5)
        seen = _filter(sources - fused, 4, _mannos_sakrison)
        difference = _block_sums(seen.square_()) / _BLOCK**2
        return average([(difference, saliency)], (0, -2, -1))


class ChenBlum(Measure):
    """Qcb = mean of λ_A Q_AF + λ_B Q_BF, with Q_kF = min(C'_k, C'_F) / max(C'_k, C'_F).

    Chen and Blum (2009). C' = |C|³ / (C² + 0.0001) is what masking leaves of
    Peli's contrast C = (G_2 * I) / (G_4 * I) - 1, G_σ Gaussian, of the image I
    as the eye's contrast sensitivity (a difference of Gaussians in frequency)

        S(r) = exp(-(r / 15.3870)²) - 0.7622 exp(-(r / 1.3456)²)

    filters it; λ_k = C'_k² / (C'_A² + C'_B²). As in Liu's toolbox: r is in cycles
    per degree of a picture of 15 degrees, the Gaussians have 31 x 31 points, with
    zeros around the image. Contrasts that are both below rounding are equal
    (ratio 1, λ 1/2), so that constant and black images score 1 against their like.

    Parameters
    ----------
    stretch
        Stretch each image to 0-255 first and round it, as the toolbox does.
    """

    name = "qcb"
    sources: str | int = 2
    bounds = (0.0, 1.0)
    reference = "Chen, Blum, Image Vis. Comput. 27 (2009) 1421-1432"

    def __init__(self, stretch: bool = False) -> None:
        self.stretch = stretch
        self.convention = (
            "CSF exp(-(r/15.387)^2) - .7622 exp(-(r/1.3456)^2) over 15 degrees, contrast of "
            "Gaussians of sigma 2 and 4 (31 x 31, zero border), masking p 3 q 2 Z 1e-4, "
            f"{_stretched(stretch)}; two sources"
        )

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        images = torch.cat([fused[None], sources])
        if self.stretch:
            images = stretched(images)
        seen = pad_zero(_filter(images, 15, _difference_of_gaussians), 15)
        fine = smooth(seen, gaussian(31, 2, normalised=False))
        coarse = smooth(seen, gaussian(31, 4, normalised=False))
        defined = coarse.abs() > _UNSEEN
        contrast = (fine / coarse.where(defined, 1.0) - 1).where(defined, 0.0).abs()
        masked = contrast**3 / (contrast.square() + 1e-4) + _UNSEEN
        of_fused, of_sources = masked[0], masked[1:]
        kept = torch.minimum(of_sources, of_fused) / torch.maximum(of_sources, of_fused)
        squares = of_sources.square()
        return mean((kept * squares).sum(0) / squares.sum(0))


def _stretched(stretch: bool) -> str:
    return "each image stretched to 0-255 and rounded" if stretch else "grey levels as they are"


def _mannos_sakrison(r: Tensor) -> Tensor:
    return 2.6 * (0.0192 + 0.144 * r) * torch.exp(-((0.144 * r) ** 1.1))


def _difference_of_gaussians(r: Tensor) -> Tensor:
    return torch.exp(-((r / 15.3870) ** 2)) - 0.7622 * torch.exp(-((r / 1.3456) ** 2))


def _filter(images: Tensor, degrees: float, sensitivity: Callable[[Tensor], Tensor]) -> Tensor:
    """Multiply the spectrum by a sensitivity to r cycles per degree, in both directions alike.

    The picture, whatever its shape, subtends ``degrees`` in width and in height.
    """
    height, width = images.shape[-2:]
    device = images.device
    down = torch.fft.fftfreq(height, dtype=torch.float64, device=device) * (height / degrees)
    across = torch.fft.rfftfreq(width, dtype=torch.float64, device=device) * (width / degrees)
    response = sensitivity(torch.hypot(down[:, None], across))
    seen: Tensor = torch.fft.irfft2(torch.fft.rfft2(images) * response, s=(height, width))
    return seen


def _block_sums(maps: Tensor) -> Tensor:
    """Sum over blocks, filled with zeros at the right and lower border."""
    height, width = maps.shape[-2:]
    whole = functional.pad(maps, (0, -width % _BLOCK, 0, -height % _BLOCK))
    return functional.avg_pool2d(whole, _BLOCK) * _BLOCK**2
