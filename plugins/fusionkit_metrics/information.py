"""EN, MI and NMI: what the histograms of the images say."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .histograms import LEVELS, bits, counts, entropy, levels, pairs, stretched
from .measure import INFINITE, Pixelwise


class Entropy(Pixelwise):
    """EN = -Σ p log2 p over 256 grey levels of the fused image; 0 for a constant one.

    Roberts, van Aardt and Ahmed (2008), who take it from Shannon (1948).
    """

    name = "en"
    convention = "bits, 256 bins, luma rounded to the nearest integer"
    bounds = (0.0, 8.0)
    reference = "Roberts, van Aardt, Ahmed, J. Appl. Remote Sens. 2 (2008) 023522"

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        return entropy(levels(fused))


class MutualInformation(Pixelwise):
    """MI = Σ_k I(k; F) with I(k; F) = H(k) + H(F) - H(k, F); 0 for constant images.

    Qu, Zhang and Yan (2002).

    Parameters
    ----------
    logarithm
        ``bits``, of base 2, or ``nats``, the natural one.
    stretch
        Stretch each image to 0-255 first and round it, as VIFB does.
    """

    name = "mi"
    bounds = (0.0, INFINITE)
    reference = "Qu, Zhang, Yan, Electron. Lett. 38 (2002) 313-315"
    summed = True

    def __init__(self, logarithm: str = "bits", stretch: bool = False) -> None:
        self.unit = 1.0 if logarithm == "bits" else math.log(2)
        self.stretch = stretch
        grey = "each image stretched to 0-255 and rounded" if stretch else ""
        grey = grey or "luma rounded to the nearest integer"
        self.convention = f"sum over sources, {logarithm}, 256 bins, {grey}"

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        if self.stretch:
            fused, sources = stretched(fused), stretched(sources)
        return _entropies(fused, sources)[2].sum(0) * self.unit


class NormalisedMutualInformation(Pixelwise):
    """NMI = 2 Σ_k I(k; F) / (H(k) + H(F)); a term of two constant images is 0.

    Each term is at most 1, reached by F = k. Hossny, Nahavandi and Creighton
    (2008), who write it for two sources.
    """

    name = "nmi"
    convention = "sum over sources of 2 I(k;F) / (H(k) + H(F)), 256 bins, luma rounded"
    bounds = (0.0, INFINITE)
    reference = "Hossny, Nahavandi, Creighton, Electron. Lett. 44 (2008) 1066-1067"
    summed = True

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        of_sources, of_fused, shared = _entropies(fused, sources)
        total = of_sources + of_fused
        return 2 * (shared / total.where(total > 0, 1.0)).sum(0)


class CrossEntropy(Pixelwise):
    """CE = mean over sources of Σ_i p_k(i) log2(p_k(i) / p_F(i)), over 256 grey levels.

    Bulanon, Burks and Alchanatis (2009). Where the fused image lacks a level that a source has,
    the sum is infinite.

    Parameters
    ----------
    absent
        ``half``: such a level counts as if half a pixel had it. ``skip``: it is left out, as in
        VIFB; then an image of few levels has less than the source itself, and even below 0.
    """

    name = "ce"
    higher_is_better = False
    reference = "Bulanon, Burks, Alchanatis, Biosyst. Eng. 103 (2009) 12-22"

    def __init__(self, absent: str = "half") -> None:
        self.absent = absent
        said = "counted as half a pixel" if absent == "half" else "left out"
        self.convention = (
            "mean over sources, bits, 256 bins, luma rounded to the nearest integer, levels that "
            f"the fused image lacks {said}"
        )

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        of_fused = counts(levels(fused), LEVELS).double()
        pixels = of_fused.sum(1, keepdim=True)
        there = of_fused > 0
        of_fused = of_fused.where(there, 0.5)
        found = []
        for source in sources:
            of_source = counts(levels(source), LEVELS).double()
            terms = torch.special.xlogy(of_source, of_source / of_fused) / pixels
            found.append((terms if self.absent == "half" else terms * there).sum(1))
        return torch.stack(found).mean(0) / math.log(2)


def _entropies(fused: Tensor, sources: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return H(k) (K, B), H(F) (B,) and I(k; F) (K, B), which is >= 0."""
    grey = levels(fused)
    joint = [pairs(levels(source), grey) for source in sources]
    of_fused = bits(joint[0].sum(1))
    alone = torch.stack([bits(each.sum(2)) for each in joint])
    together = torch.stack([bits(each) for each in joint])
    return alone, of_fused, (alone + of_fused - together).clamp_min(0)
