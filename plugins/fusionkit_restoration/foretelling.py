"""What the other sources of a scene foretell of one that was measured poorly.

Where two sources show the same things, what was measured of one is nearly a multiple of the other
in the same band of frequencies, y' = s g' with y' = y - G y, g' = A g - G A g, G the mean over a
window of y's own grid. The slope s is fitted window by window (the local linear model of the guided
filter: He, Sun, Tang, TPAMI 35, 2013, eq. 5), and s (g - G g), on the fused grid, is foretold. Only
where the relation holds, and as far:

- the finest band that was measured stands for those that were not, or weakly; s is shrunk by what
  it leaves of y' unexplained in a small window, where the relation may be another one
  than in most of the large one;
- of fewer pixels, if s is less for y' than for the next coarser band, as it is for a source
  that is also out of focus, it will be less still, by the square of that ratio.

No absolute level is taken over: a map of temperatures gets edges that its own edges, coarsely
seen, agree with, and nothing where they do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fusionkit import StartedObservation, box_mean

from .guesses import known, spread


@dataclass(frozen=True)
class _Fit:
    """How s is fitted: sides of windows on y's grid.

    Attributes
    ----------
    window
        Where one s holds.
    band
        Of the mean that is taken off.
    trial
        Where s is tried.
    """

    window: int
    band: int
    trial: int


_SAME_GRID = _Fit(31, 7, 9)
_FEWER = _Fit(31, 3, 5)  # the window in pixels of the fused grid
_LEVEL = 1 / 127.5
"""A grey level: contrast below it says nothing."""

_DETAIL = 15
"""Side of the window, on the fused grid, whose mean is no detail of a guide."""


def foretold(
    k: int, y: Tensor, observation: StartedObservation, images: Sequence[Tensor]
) -> Tensor:
    """Return what the other sources foretell of source k, (B, C, H, W); its mean is about 0.

    Parameters
    ----------
    k, y, observation
        The source, (B, C, h, w), and how it was measured.
    images
        K images (B, C, H, W), what all sources are estimated to show. Several others share by
        how well each foretells.
    """
    size = (int(images[k].shape[-2]), int(images[k].shape[-1]))
    others = [image for j, image in enumerate(images) if j != k]
    fits = [_fitted(y, observation, guide) for guide in others]
    total = sum(r2 for _, r2 in fits) + 1e-6
    detail = torch.zeros_like(images[k])
    for (slope, r2), guide in zip(fits, others, strict=True):
        fine = guide - box_mean(guide, _DETAIL)
        detail = detail + spread(slope * r2 / total, observation, size) * fine
    return detail


def _fitted(y: Tensor, observation: StartedObservation, guide: Tensor) -> tuple[Tensor, Tensor]:
    """Return s, shrunk, and r² of y and one guide, both (B, C, h, w)."""
    mask = known(y, observation)
    fewer = y.shape[-2:] != guide.shape[-2:]
    fit = _FEWER if fewer else _SAME_GRID
    window = max(fit.trial, _odd(fit.window * y.shape[-1] / guide.shape[-1]))
    # Of white noise this share is left by taking off the mean.
    noise = observation.sigma**2 * (1 - fit.band**-2)
    floor = 0.3 * max(observation.sigma, _LEVEL) ** 2

    def mean(maps: Tensor, side: int) -> Tensor:
        return box_mean(maps * mask, side) / box_mean(mask, side).clamp(min=1e-6)

    def slope_of(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        covariance, variance = mean(a * b, window), mean(b * b, window) + floor
        power = (mean(a * a, window) - noise).clamp(min=0) + floor
        return covariance / variance, (covariance.square() / (variance * power)).clamp(0, 1)

    g = observation.A(guide)
    coarse_y, coarse_g = mean(y, fit.band), mean(g, fit.band)
    fine_y, fine_g = y - coarse_y, g - coarse_g
    slope, r2 = slope_of(fine_y, fine_g)
    kept = torch.ones_like(slope)
    if fewer:
        before, _ = slope_of(coarse_y - mean(coarse_y, 5), coarse_g - mean(coarse_g, 5))
        kept = (slope * before / (before.square() + 1e-4)).clamp(0, 1).square()
    smooth = mean(slope, window)
    left = (mean((fine_y - smooth * fine_g).square(), fit.trial) - noise).clamp(min=0)
    there = (mean(fine_y.square(), fit.trial) - noise).clamp(min=0) + floor
    return smooth * mean(kept, window) * (1 - left / there).clamp(0, 1), r2


def _odd(side: float) -> int:
    return 2 * round((side - 1) / 2) + 1
