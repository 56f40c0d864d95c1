"""FMI: mutual information of features, window by window."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from fusionkit import side_by_side

from .filters import extend, filter_columns, filter_rows
from .measure import Measure

_SIDE = 3
# Windows at a time, each of which needs some hundreds of numbers: they stay in the cache.
_BAND = 6144
# What the masses of a joint distribution are whole numbers of, and the bits of a number hold.
_UNIT = 2.0**-29
_TINY = 1e-37  # the logarithm of which a float32 has, too
# Features that differ by less than this, in grey levels, are equal; a covariance below is none.
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
        for features in self.features(maps):
            windows += (features.shape[-2] - _SIDE + 1) * (features.shape[-1] - _SIDE + 1)
            for b in range(fused.shape[0]):
                for shared in side_by_side(_sum_shared, _bands(features[:, b])):
                    total[b] += shared
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


def _bands(maps: Tensor) -> Iterator[Tensor]:
    """Cut (N, h, w) into bands of rows, each with all the windows that begin in some rows."""
    height, width = maps.shape[-2:]
    rows = max(1, _BAND // width)
    for top in range(0, height - _SIDE + 1, rows):
        yield maps[:, top : top + rows + _SIDE - 1]


def _sum_shared(maps: Tensor) -> Tensor:
    """Return the sum over the windows of a band of what F shares with the others in the mean."""
    return _shared(maps).mean(0).sum()


def _shared(maps: Tensor) -> Tensor:
    """2 I / (H + H) of every window of F, the first of (N, h, w), and of each other: (N - 1, P)."""
    count = (maps.shape[-2] - _SIDE + 1) * (maps.shape[-1] - _SIDE + 1)
    windows = _windows(maps)
    equal = (windows[:, 1:] - windows[:, :1]).abs_().amax(0) <= _ROUNDING
    p, flat = _distributions(windows)
    apart = _nats(p)
    apart = apart[1:] + apart[0]
    covariance = _covariance(p, flat)
    # Where p and q fall together, what is largest of one comes with what is smallest of the
    # other: that is the bound of p and of q read from its end.
    along = torch.empty_like(covariance)
    torch.ge(covariance, 0, out=along)
    first = torch.lerp(p[:, :1].flip(0), p[:, :1], along)
    together = _joint_nats(p[:, 1:], first, covariance.abs(), apart)
    ratio = 2 * (apart - together) / apart.clamp_min(_ROUNDING)
    return ratio.clamp_(0, 1).masked_fill_(equal, 1)[:, :count]


def _windows(maps: Tensor) -> Tensor:
    """All 3 x 3 windows of (N, h, w), column by column: (9, N, P), and flat ones behind them.

    With these P is a multiple of 32: what is left of a row is computed one by one, which may round
    a logarithm otherwise, so that values would depend on the order of the sources.
    """
    height, width = (side - _SIDE + 1 for side in maps.shape[-2:])
    count = height * width
    windows = maps.new_zeros(_SIDE**2, len(maps), count + -count % 32)
    places = [(row, column) for column in range(_SIDE) for row in range(_SIDE)]
    for place, (r, c) in enumerate(places):
        target = windows[place, :, :count].view(len(maps), height, width)
        target.copy_(maps[:, r : r + height, c : c + width])
    return windows


def _distributions(windows: Tensor) -> tuple[Tensor, Tensor]:
    """Return p (9, N, P) of the windows, and which of them are flat, (N, P)."""
    low, high = windows.amin(0), windows.amax(0)
    flat = high - low <= _ROUNDING
    above = (windows - low).mul_((~flat).to(low)).add_(flat.to(low))
    return above.div_(above.sum(0)), flat


def _nats(p: Tensor) -> Tensor:
    """Entropy over the first dimension: -Σ p ln p."""
    nats: Tensor = (p * p.clamp_min(_TINY).log_()).sum(0).neg_()
    return nats


def _covariance(p: Tensor, flat: Tensor) -> Tensor:
    """Return the covariance (N - 1, P) of places that is wanted of each joint distribution with F.

    Pearson's correlation of the nine probabilities times the deviations of the places under p and
    q; 0 where one of them is uniform.
    """
    # p has a place of 0, unless it is uniform: it is far from that, and nothing cancels.
    squares = p.square().sum(0).sub_(1 / len(p))
    products = (p[:, 1:] * p[:, :1]).sum(0).sub_(1 / len(p))
    places = torch.arange(1, len(p) + 1, dtype=p.dtype, device=p.device)
    moments = torch.stack([places, places.square()]) @ p.flatten(1)
    mean, square = moments.view(2, *p.shape[1:])
    variances = (square - mean.square()).clamp_min_(0)
    spread = (variances / squares.where(~flat, 1.0)).where(~flat, 0.0).sqrt_()
    wanted: Tensor = products * spread[1:] * spread[0]
    return wanted


def _joint_nats(p: Tensor, q: Tensor, wanted: Tensor, apart: Tensor) -> Tensor:
    """Entropy (K, P) of Nelsen's joint distribution of p (9, K, P) and q, likewise.

    ``wanted`` is its covariance, >= 0, and ``apart`` the sum H(p) + H(q).

    The bound b is 0 but for a staircase of 17 cells. Elsewhere p_ij = (1 - φ) p_i q_j, whose
    entropy over all cells has a closed form: logarithms are taken on the stairs alone.
    """
    shape = wanted.shape
    p, q, wanted, apart = p.flatten(1), q.flatten(1), wanted.flatten(), apart.flatten()
    P, Q = _cumulated(p), _cumulated(q)
    masses, j = _staircase(P[:-1], Q[:-1])
    i = torch.arange(len(j), dtype=j.dtype, device=j.device)[:, None] - j
    # E[ij] - E[i] E[j], of places from 0 on, so that E[i] = Σ (1 - P_i).
    bound = (i * j).double().mul_(masses).sum(0).mul_(_UNIT)
    bound -= (len(P) - P.sum(0)) * (len(Q) - Q.sum(0))
    defined = bound > _ROUNDING
    share = (wanted / bound.where(defined, 1.0)).where(defined, 0.0).clamp_(0, 1)
    rest = 1 - share
    # Nothing is subtracted from here on: 32 bits are enough for the many logarithms.
    product = _chosen(p.float(), i).mul_(_chosen(q.float(), j)).mul_(rest.float())
    stairs = _nats(torch.addcmul(product, masses.float(), share.float(), value=_UNIT))
    stairs -= _nats(product)
    return (rest * (apart - rest.clamp_min(_TINY).log_()) + stairs).view(shape)


def _cumulated(p: Tensor) -> Tensor:
    sums = p.clone()
    for before, row in pairwise(sums.unbind()):  # cumsum takes several times as long
        row += before
    return sums


def _staircase(P: Tensor, Q: Tensor) -> tuple[Tensor, Tensor]:
    """Return the masses (17, n) of the cells of min(P, Q) and their columns, given (8, n) of each.

    From the first cell on, a stair leads down where P ends next, and across where Q does: the
    sums of both in ascending order, merged by a bitonic network. They are whole numbers of 2^-30,
    the last bit of which says whose they are; masses are of 2^-29. Columns are in float32, with
    which one computes faster than with integers.
    """
    sums = torch.cat([_whole(P), _whole(Q).flip(0) | 1])
    merged = torch.empty_like(sums)
    half = len(P)
    while half:
        pairs, sorted_ = (x.view(-1, 2, half, x.shape[-1]) for x in (sums, merged))
        torch.minimum(pairs[:, 0], pairs[:, 1], out=sorted_[:, 0])
        torch.maximum(pairs[:, 0], pairs[:, 1], out=sorted_[:, 1])
        sums, merged = merged, sums
        half //= 2
    edge = torch.zeros_like(sums[:1])
    masses = torch.cat([edge, sums >> 1, edge + int(1 / _UNIT)]).double().diff(dim=0)
    return masses, _cumulated(torch.cat([edge, sums & 1]).float())


def _whole(sums: Tensor) -> Tensor:
    """Round to the nearest even number of halves of a unit."""
    return sums.mul(2 / _UNIT).add_(1).int() & -2


def _chosen(p: Tensor, places: Tensor) -> Tensor:
    """Return p[places[s, n], n], (17, n), of p (9, n)."""
    columns = p.shape[1]
    index = torch.arange(columns, dtype=places.dtype, device=p.device).add(places, alpha=columns)
    return p.flatten().index_select(0, index.int().flatten()).view(places.shape)


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
        return filter_columns(wide[..., odd:], taps, step=2)
    return filter_rows(wide[..., odd:, :], taps, step=2)


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
