"""Point spread functions: (h, w) float64 of odd sides, centred, summing to 1."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusionkit import UsageError
from fusionkit.imaging import read_picture

PSF = NDArray[np.float64]

_TOLERANCE = 1e-3
"""How far the sum of a file's values may be from 1: 4 digits a value, of some hundred."""

_SAMPLES = 8  # for each pixel and axis


def gaussian(sigma: float) -> PSF:
    """Return a Gaussian, cut at 4 sigma; sigma 0 is a point."""
    reach = math.ceil(4 * sigma)
    at = np.arange(-reach, reach + 1)
    along = np.exp(-0.5 * (at / sigma) ** 2) if sigma > 0 else np.ones(1)
    return _normal(np.outer(along, along))


def disc(radius: float) -> PSF:
    """Return a disc: how much of each pixel it covers, to a 64th."""
    reach = math.ceil(radius)
    within = (np.arange(_SAMPLES) + 0.5) / _SAMPLES - 0.5
    at = (np.arange(-reach, reach + 1)[:, None] + within).ravel()
    inside = at[:, None] ** 2 + at**2 <= radius**2
    side = 2 * reach + 1
    return _normal(inside.reshape(side, _SAMPLES, side, _SAMPLES).mean((1, 3)))


def line(length: float, angle: float) -> PSF:
    """Return a straight line through the centre, its points shared by the four pixels around.

    Parameters
    ----------
    length
        Pixels.
    angle
        Degrees, from the right anticlockwise.
    """
    reach = math.ceil(length / 2) + 1
    count = max(1, _SAMPLES * math.ceil(length))
    along = ((np.arange(count) + 0.5) / count - 0.5) * length
    turned = math.radians(angle)
    # Rounded, so that a line along an axis stays in it.
    down, across = np.round(-along * math.sin(turned), 9), np.round(along * math.cos(turned), 9)
    psf = np.zeros((2 * reach + 1,) * 2)
    top, left = np.floor(down).astype(int), np.floor(across).astype(int)
    for dy, dx in np.ndindex(2, 2):
        share = (1 - abs(down - top - dy)) * (1 - abs(across - left - dx))
        np.add.at(psf, (top + dy + reach, left + dx + reach), share)
    return _normal(psf)


def read_psf(path: Path) -> PSF:
    """Read a PSF; raise UsageError where it is none."""
    pixels = read_picture(path, "own").pixels
    if pixels.ndim != 2:
        raise UsageError(f"{path}: a PSF has one channel, not {pixels.shape[-1]}")
    psf = pixels.astype(np.float64)
    if not np.isfinite(psf).all() or psf.min() < 0:
        raise UsageError(f"{path}: a PSF is finite, and nowhere below 0")
    if psf.shape[0] % 2 == 0 or psf.shape[1] % 2 == 0:
        raise UsageError(
            f"{path}: a PSF has odd sides, since its centre is a pixel, not "
            f"{psf.shape[1]} x {psf.shape[0]}"
        )
    total = psf.sum()
    if pixels.dtype.kind in "ui" and total > 0:
        return _normal(psf)  # whole numbers cannot sum to 1
    if abs(total - 1) > _TOLERANCE:
        raise UsageError(f"{path}: a PSF sums to 1, not {total:.4g}: divide it by its sum")
    return _normal(psf)


def _normal(psf: NDArray[np.float64]) -> PSF:
    normal: PSF = psf / psf.sum()
    return normal
