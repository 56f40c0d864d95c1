"""What looks at channels: SAM and ERGAS against a ground truth, QNR, MEF-SSIM in colour."""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod

import torch
from torch import Tensor

from .filters import box, gaussian, smooth
from .measure import INFINITE, Measure
from .mef import SIZE, C
from .similarity import MID, universal_quality

_BLACK = 1e-6
"""A vector of channels shorter than this, in grey levels, has no direction."""


class InColour(Measure):
    """A measure of channels, (B, C, H, W); C is 1 where no image has colour."""

    colour = True

    def __call__(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Measure ``fused`` (B, C, H, W) against ``sources`` (K, B, C, H, W); return (B,)."""
        self._check(fused[:, :1], sources[:, :, :1])
        if sources.shape[1:] != fused.shape:
            raise ValueError(
                f"{self.name}: images of {fused.shape[1]} and {sources.shape[2]} channels"
            )
        with torch.no_grad():
            return self.measure(fused.double(), sources.double())

    @abstractmethod
    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Measure (B, C, H, W) against (K, B, C, H, W), both float64."""


class SpectralAngle(InColour):
    """SAM = mean over pixels of arccos(<F, R> / (|F| |R|)), degrees, of the vectors of channels.

    Yuhas, Goetz and Boardman (1992). Two black pixels agree, 0; a black one and another are at
    90 degrees. Images of one channel have no angle.
    """

    name = "sam"
    higher_is_better = False
    convention = (
        "degrees, mean over pixels, channels 0-255; black with black 0, black with other 90; "
        "against a ground truth"
    )
    sources: str | int = 1
    bounds = (0.0, 90.0)
    partial = True
    reference = "Yuhas, Goetz, Boardman, Summ. 3rd JPL Airb. Geosci. Workshop 1 (1992) 147-149"

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,); NaN for one channel."""
        if fused.shape[1] == 1:
            return fused.new_full(fused.shape[:1], math.nan)
        truth = sources[0]
        product = (fused * truth).sum(1)
        lengths = fused.norm(dim=1) * truth.norm(dim=1)
        black = fused.norm(dim=1) < _BLACK, truth.norm(dim=1) < _BLACK
        cosine = (product / lengths.where(lengths > 0, 1.0)).clamp(-1, 1)
        cosine = cosine.where(~(black[0] | black[1]), 0.0).where(~(black[0] & black[1]), 1.0)
        return torch.rad2deg(torch.acos(cosine)).mean((-2, -1))


class RelativeError(InColour):
    """ERGAS = 100 r √(mean over channels of (RMSE_c / μ_c)²), μ_c the mean of the ground truth.

    Wald (2002); r is the ratio of the pixel's side in the sharp source to that in the source
    with channels: 1/4 for most satellites, 1 where both have one grid.
    """

    name = "ergas"
    higher_is_better = False
    sources: str | int = 1
    bounds = (0.0, INFINITE)
    reference = "Wald, Data Fusion: Definitions and Architectures, Presses des Mines (2002)"

    def __init__(self, ratio: float = 1.0) -> None:
        self.ratio = ratio
        self.convention = (
            f"100 r sqrt(mean of (RMSE / mean)^2 of channels), r {ratio:g}, means of 1 grey level "
            "at least; against a ground truth"
        )

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        truth = sources[0]
        squares = (fused - truth).square().mean((-2, -1))
        means = truth.mean((-2, -1)).clamp_min(1.0)
        return 100 * self.ratio * (squares / means.square()).mean(1).sqrt()


class NoReference(InColour):
    """QNR = (1 - D_λ)(1 - D_s), of a grey and a colour image and their fusion.

    Alparone and others (2008), exponents 1. With Q the universal quality index,

        D_λ = mean over i ≠ j of |Q(F_i, F_j) - Q(M_i, M_j)|,
        D_s = mean over i of |Q(F_i, P) - Q(M_i, P_low)|,

    M the source in colour and P the grey one; P_low is P as smooth as M, by a Gaussian whose
    response at M's Nyquist frequency is 0.3. Both sources have one grid here, where the paper
    takes M and P_low in their own. Without one grey source and one in colour there is no value.
    """

    name = "qnr"
    sources: str | int = 2
    bounds = (0.0, 1.0)
    partial = True
    reference = "Alparone et al., Photogramm. Eng. Remote Sens. 74 (2008) 193-200"
    least_side = 32

    def __init__(self, ratio: int = 4) -> None:
        self.ratio = ratio
        self.convention = (
            f"one grey source, one in colour, on one grid; Q in uniform 32 x 32 windows, step 1, "
            f"grey source low-passed for a ratio of {ratio}, exponents 1; two sources"
        )

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,); NaN where there is not one grey source."""
        return torch.stack([self._one(f, sources[:, b]) for b, f in enumerate(fused)])

    def _one(self, fused: Tensor, sources: Tensor) -> Tensor:
        grey = [bool((source == source[:1]).all()) for source in sources]
        if sum(grey) != 1:
            return fused.new_tensor(math.nan)
        pan, colours = sources[grey.index(True), 0], sources[grey.index(False)]
        low = self._low_passed(pan)
        pairs = list(itertools.combinations(range(len(fused)), 2))
        spectral = [abs(_q(fused[i], fused[j]) - _q(colours[i], colours[j])) for i, j in pairs]
        spatial = [abs(_q(f, pan) - _q(c, low)) for f, c in zip(fused, colours, strict=True)]
        kept = [1 - torch.stack(part).mean() for part in (spectral, spatial)]
        return kept[0].clamp(0, 1) * kept[1].clamp(0, 1)

    def _low_passed(self, pan: Tensor) -> Tensor:
        # exp(-(2 pi sigma f)^2 / 2) = .3 at f = 1 / (2 ratio)
        sigma = self.ratio * math.sqrt(-2 * math.log(0.3)) / math.pi
        margin = math.ceil(4 * sigma)
        wide = torch.nn.functional.pad(pan[None, None], (margin,) * 4, mode="replicate")[0, 0]
        return smooth(wide, gaussian(2 * margin + 1, sigma))


def _q(first: Tensor, second: Tensor) -> Tensor:
    """Return the universal quality index of two images (H, W), a scalar."""
    x, y = first - MID, second - MID
    window = box(32)
    mean_x, mean_y = smooth(x, window), smooth(y, window)
    of_x = (smooth(x * x, window) - mean_x.square()).clamp_min(0)
    of_y = (smooth(y * y, window) - mean_y.square()).clamp_min(0)
    shared = smooth(x * y, window) - mean_x * mean_y
    return universal_quality(mean_x, mean_y, of_x, of_y, shared).mean()


class MultiExposureColour(InColour):
    """MEF-SSIMc: mean of l · cs over 11 x 11 patches of all channels together.

    Ma, Duanmu, Yeganeh and Wang (2018), structure as in the authors' network of 2020: that of
    the source whose patch has the greatest variance, σ_max². With one mean for all channels,

        cs = (2 σ_xF + C2) / (σ_max² + σ_F² + C2),   l = (2 μ μ_F + C1) / (μ² + μ_F² + C1),

    μ the mean of the sources' μ_k, weighted by exp(-(μ_k - .5)² / .08) of the patch times that of
    the whole image. C1 = (.01·255)², C2 = (.03·255)².
    """

    name = "mef-ssimc"
    convention = (
        "RGB patches of 11 x 11, one mean, Gaussian sigma 1.5, valid part, one scale, structure "
        "of the strongest source, luminance with sigma .2, C1 (.01*255)^2, C2 (.03*255)^2"
    )
    bounds = (-1.0, 1.0)
    reference = "Ma, Duanmu, Yeganeh, Wang, IEEE Trans. Comput. Imaging 4 (2018) 60-72"
    least_side = SIZE

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        f, s = fused - MID, sources - MID
        mean_f, mean = _patches(f), _patches(s)
        variance_f = (_patches(f * f) - mean_f.square()).clamp_min(0)
        variance = (_patches(s * s) - mean.square()).clamp_min(0)
        shared = _patches(s * f) - mean * mean_f
        strongest = variance.argmax(0, keepdim=True)
        variance, shared = (maps.gather(0, strongest)[0] for maps in (variance, shared))
        structure = (2 * shared + C) / (variance + variance_f + C)
        mean, mean_f = mean + MID, mean_f + MID
        local = _exposed(mean)
        weights = local * _exposed(mean.mean((-2, -1), keepdim=True))
        wanted = (weights * mean).sum(0) / weights.sum(0)
        c1 = (0.01 * 255) ** 2
        light = (2 * wanted * mean_f + c1) / (wanted.square() + mean_f.square() + c1)
        return (light * structure).mean((-2, -1))


def _patches(maps: Tensor) -> Tensor:
    """Mean over channels and under the window, (..., C, H, W) to (..., h, w)."""
    return smooth(maps.mean(-3), gaussian(SIZE, 1.5))


def _exposed(means: Tensor) -> Tensor:
    """How far grey levels are from black and white, in (0, 1]."""
    return torch.exp(-((means / 255 - 0.5) ** 2) / 0.08)
