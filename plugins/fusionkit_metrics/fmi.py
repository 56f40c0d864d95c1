"""FMI: mutual information of features, window by window."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache

import torch
from torch import Tensor

from .filters import extend, filter_columns, filter_rows
from .measure import Measure

_SIDE = 3
# Windows at a time in what needs up to 100 numbers for each: they stay in the cache, and below
# the 32768 from which torch shares an operation out to threads, which costs more than it gives.
_CHUNK = 256
# Features that differ by less than this, in grey levels, are equal.
_ROUNDING = 1e-6
_REACH = 30


class FeatureMutualInformation(Measure):
    """FMI = mean over sources and windows of 2 I(k; F) / (H(k) + H(F)).

    Haghighat, Aghagolzadeh and Seyedarabi (2011), in the form of Haghighat and
    Razian (2014, "Fast-FMI") and its conventions. In every 3 x 3 window the
    features, less their least and divided by their sum, are taken as a
    distribution p over the nine places, column by column. The joint distribution
    of two of them is Nelsen's, between independence and Fréchet's bound,

        p_ij = φ b_ij + (1 - φ) p_i q_j,

    b the mixed difference of min(P_i, Q_j) where Pearson's correlation c of p
    and q is >= 0, else of max(P_i + Q_j - 1, 0), P and Q the cumulated
    distributions; φ = c / c_b, with c_b the correlation under b. φ is kept in
    [0, 1], where p_ij is a distribution: beyond, authors' code takes logarithms
    of negative numbers and drops their imaginary part.

    Windows that are equal give 1; two different ones of which one is constant
    share nothing and give 0. The features are here the pixels.
    """

    name = "fmi-pixel"
    convention = (
        "mean over sources and 3 x 3 windows of 2I/(H+H), features: pixels; "
        "Fast-FMI's joint distribution"
    )
    bounds = (0.0, 1.0)
    reference = "Haghighat, Aghagolzadeh, Seyedarabi, Comput. Electr. Eng. 37 (2011) 744-756"

    least_side = _SIDE

    def measure(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        maps = torch.cat([fused[None], sources])
        total, windows = fused.new_zeros(fused.shape[0]), 0
        for band in self.features(maps):
            within = _windows(band)
            windows += within.shape[-1]
            for b in range(fused.shape[0]):
                f, *others = within[:, b]
                total[b] += torch.stack([_shared(s, f).sum() for s in others]).mean()
        return total / windows

    def features(self, maps: Tensor) -> Iterable[Tensor]:
        """Return the maps (N, B, h, w) in whose windows the images are compared."""
        return (maps,)


class WaveletMutualInformation(FeatureMutualInformation):
    """FMI with the four bands of a wavelet transform instead of the pixels.

    One level of the discrete Meyer wavelet, 61 taps, symmetric borders; the
    windows lie within the bands.
    """

    name = "fmi-wavelet"
    convention = (
        "mean over sources and 3 x 3 windows of 2I/(H+H), features: the bands of one level of "
        "the discrete Meyer wavelet; Fast-FMI's joint distribution"
    )
    least_side = 2 * _SIDE

    def features(self, maps: Tensor) -> Iterable[Tensor]:
        """Return the four bands."""
        return meyer_bands(maps)


def _windows(maps: Tensor) -> Tensor:
    """All 3 x 3 windows of (N, B, H, W), column by column: (N, B, 9, windows)."""
    views = maps.unfold(-2, _SIDE, 1).unfold(-2, _SIDE, 1)  # (..., h, w, rows, columns)
    return views.permute(0, 1, 5, 4, 2, 3).flatten(4).flatten(2, 3)


def _shared(first: Tensor, second: Tensor) -> Tensor:
    """2 I / (H + H) of two sets of windows (9, P), (P,)."""
    p, q = _distribution(first), _distribution(second)
    wanted = _correlation(p, q) * (_variance(p) * _variance(q)).sqrt_()
    chunks = zip(*(torch.split(x, _CHUNK, -1) for x in (p, q, wanted)), strict=True)
    together = torch.cat([_nats(_joint(*chunk).flatten(0, 1)) for chunk in chunks])
    apart = _nats(p) + _nats(q)
    ratio = 2 * (apart - together) / apart.clamp_min(_ROUNDING)
    equal = ((first - second).abs() <= _ROUNDING).all(0)
    return ratio.clamp(0, 1).masked_fill_(equal, 1)


def _distribution(windows: Tensor) -> Tensor:
    low, high = windows.aminmax(dim=0)
    above = (windows - low).where(high - low > _ROUNDING, 1.0)
    return above / above.sum(0)


def _nats(p: Tensor) -> Tensor:
    nats: Tensor = torch.special.entr(p).sum(0)
    return nats


def _correlation(p: Tensor, q: Tensor) -> Tensor:
    """Pearson's correlation of the nine probabilities; 0 where one is uniform."""
    x, y = p - p.mean(0), q - q.mean(0)
    squares = x.square().sum(0) * y.square().sum(0)
    r = (x * y).sum(0) / squares.where(squares > 1e-24, 1.0).sqrt()
    return r.where(squares > 1e-24, 0.0)


def _variance(p: Tensor) -> Tensor:
    """Variance of the place 1 ... 9 under p (9, P)."""
    places = torch.arange(1, len(p) + 1, dtype=p.dtype, device=p.device)[:, None]
    variance = (places.square() * p).sum(0) - (places * p).sum(0).square()
    return variance.clamp_min_(0)


def _joint(p: Tensor, q: Tensor, wanted: Tensor) -> Tensor:
    """Nelsen's joint distribution (9, 9, P) of p and q (9, P) with the covariance wanted (P,)."""
    P, Q = p.cumsum(0)[:, None], q.cumsum(0)[None]
    bound = torch.where(wanted >= 0, torch.minimum(P, Q), (P + Q - 1).clamp_min_(0))
    # Hoeffding: the covariance is the sum of the joint less the independent distribution.
    covariance = (bound - P * Q).sum((0, 1))
    defined = covariance.abs() > 1e-12
    share = (wanted / covariance.where(defined, 1.0)).where(defined, 0.0).clamp_(0, 1)
    mixed = torch.nn.functional.pad(bound, (0, 0, 1, 0, 1, 0)).diff(dim=0).diff(dim=1)
    return (share * mixed + (1 - share) * p[:, None] * q).clamp_min_(0)


def meyer_bands(maps: Tensor) -> Iterator[Tensor]:
    """Yield the four bands of one level of the discrete Meyer wavelet: (..., H, W) to about halves.

    Low-pass values are centred on even pixels, high-pass values on odd ones.
    """
    low, high = meyer_filters()
    for along_rows in (low, high):
        first = _decimate(maps, along_rows, along_rows is high, -1)
        for along_columns in (low, high):
            yield _decimate(first, along_columns, along_columns is high, -2)


def _decimate(maps: Tensor, taps: tuple[float, ...], odd: bool, dim: int) -> Tensor:
    wide = extend(maps, _REACH, _REACH, dim, "symmetric")
    if dim == -1:
        return filter_columns(wide, taps)[..., odd::2]
    return filter_rows(wide, taps)[..., odd::2, :]


@lru_cache(maxsize=1)
def meyer_filters() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Low-pass and high-pass filter of Meyer's wavelet, cut to 61 taps.

    The low-pass response is √2 for ω <= π/3, 0 from 2π/3 on, and between them
    √2 cos(π/2 ν(3ω/π - 1)) with ν(x) = x⁴ (35 - 84 x + 70 x² - 20 x³)
    (Daubechies, Ten Lectures on Wavelets, 1992, ch. 4).
    """
    samples = 2048
    omega = torch.linspace(0, math.pi, samples + 1, dtype=torch.float64)
    x = (3 * omega / math.pi - 1).clamp(0, 1)
    ramp = x**4 * (35 - 84 * x + 70 * x**2 - 20 * x**3)
    impulse = torch.fft.irfft(math.sqrt(2) * torch.cos(math.pi / 2 * ramp), n=2 * samples)
    half = impulse[: _REACH + 1].tolist()
    low = tuple(half[abs(n)] for n in range(-_REACH, _REACH + 1))
    return low, tuple(value * (-1) ** abs(n - _REACH) for n, value in enumerate(low))
