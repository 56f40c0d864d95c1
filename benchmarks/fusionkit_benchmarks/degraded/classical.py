"""What people do without a prior: interpolate, fill, deconvolve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, median_filter, zoom
from skimage import restoration as untyped

from .scenes import Degraded

restoration: Any = untyped
Array = NDArray[np.float64]
Method = Callable[[Degraded], Array]
"""Returns (H, W) in [0, 1]."""

_BALANCES = (0.001, 0.003, 0.01, 0.03, 0.1)
_ITERATIONS = (5, 10, 20, 40)
_SMOOTHING = 1.5  # of normalised convolution


def nothing(scene: Degraded) -> Array:
    """Fill holes by a median, and interpolate to the size of what is clean by cubic splines."""
    image = scene.image / 255.0
    filled = np.where(scene.known, image, _median(image, scene.known))
    return _enlarged(filled, scene)


def consistent_bicubic(scene: Degraded) -> Array:
    """Fill holes by normalised convolution, enlarge, and make the result agree with the source."""
    image = scene.image / 255.0
    filled = np.where(scene.known, image, _convolved(image, scene.known))
    return _agreeing(_enlarged(filled, scene), scene)


def biharmonic(scene: Degraded) -> Array:
    """Fill holes by the biharmonic equation, enlarge, and make it agree with the source."""
    filled: Array = restoration.inpaint_biharmonic(scene.image / 255.0, ~scene.known)
    return _agreeing(_enlarged(filled, scene), scene)


def best_wiener(scene: Degraded) -> Array:
    """Deconvolve by a Wiener filter: of several balances, the nearest to the truth."""
    psf = _psf(scene)
    image = _padded(scene.image / 255.0, psf)
    tries = [restoration.wiener(image, psf, balance, clip=False) for balance in _BALANCES]
    tries.append(restoration.unsupervised_wiener(image, psf, clip=False, rng=0)[0])
    return _best([_unpadded(each, psf) for each in tries], scene)


def best_richardson_lucy(scene: Degraded) -> Array:
    """Deconvolve by Richardson and Lucy: of several numbers of iterations, the nearest."""
    psf = _psf(scene)
    image = _padded(scene.image / 255.0, psf)
    tries = [restoration.richardson_lucy(image, psf, count, clip=False) for count in _ITERATIONS]
    return _best([_unpadded(each, psf) for each in tries], scene)


def nl_means(scene: Degraded) -> Array:
    """Take noise off by non-local means, told its strength: of several, the nearest."""
    sigma = scene.observation.sigma / 2
    image = scene.image / 255.0
    tries = [
        restoration.denoise_nl_means(image, h=share * sigma, sigma=sigma, fast_mode=True)
        for share in (0.6, 0.8, 1.0)
    ]
    return _best(tries, scene)


def methods(kind: str) -> dict[str, Method]:
    """Return the rows that make sense for a degradation, by name."""
    if kind.startswith("blur"):
        return {"wiener": best_wiener, "richardson-lucy": best_richardson_lucy}
    if kind.startswith("noise"):
        return {"nl-means": nl_means}
    if kind == "mask":
        return {"normalised convolution": consistent_bicubic, "biharmonic": biharmonic}
    return {"consistent bicubic": consistent_bicubic}


def _best(tries: list[Array], scene: Degraded) -> Array:
    truth = scene.pair.clean[0] / 255.0
    return min(tries, key=lambda image: float(np.square(np.clip(image, 0, 1) - truth).mean()))


def _psf(scene: Degraded) -> Array:
    """Return the PSF: what becomes of a point in the middle, as far as it reaches."""
    height, width = scene.size
    point = torch.zeros(1, 1, height, width, dtype=torch.float64)
    point[..., height // 2, width // 2] = 1
    spread = scene.observation.A(point)[0, 0].numpy()
    reach = min(16, height // 2 - 1, width // 2 - 1)
    middle = np.s_[
        height // 2 - reach : height // 2 + reach + 1, width // 2 - reach : width // 2 + reach + 1
    ]
    psf: Array = spread[middle]
    psf /= psf.sum()
    return psf


def _padded(image: Array, psf: Array) -> Array:
    return np.pad(image, psf.shape[0], mode="symmetric")


def _unpadded(image: Array, psf: Array) -> Array:
    side = psf.shape[0]
    return image[side:-side, side:-side]


def _median(image: Array, known: NDArray[np.bool_]) -> Array:
    """Return the median of what is known in windows that grow until there is something."""
    filled = np.where(known, image, np.nan)
    for side in (5, 9, 17, 33, 65):
        if not np.isnan(filled).any():
            break
        some = median_filter(np.where(known, image, -1.0), side)
        share = _convolved(np.ones_like(image), known, side / 3)
        guess = np.where(some >= 0, some, _convolved(image, known, side / 3) / share)
        filled = np.where(np.isnan(filled), guess, filled)
    return filled


def _convolved(image: Array, known: NDArray[np.bool_], sigma: float = _SMOOTHING) -> Array:
    """Return normalised convolution with Gaussians, the least one that reaches what is known."""
    result = np.full(image.shape, np.nan)
    for width in sigma * 2.0 ** np.arange(6):
        share = gaussian_filter(known.astype(float), width)
        mean = gaussian_filter(np.where(known, image, 0.0), width) / np.maximum(share, 1e-12)
        result = np.where(np.isnan(result) & (share > 0.05), mean, result)
    return np.where(np.isnan(result), image[known].mean(), result)


def _enlarged(image: Array, scene: Degraded) -> Array:
    height, width = scene.size
    if image.shape == (height, width):
        return image
    factors = height / image.shape[0], width / image.shape[1]
    enlarged: Array = zoom(image, factors, order=3, mode="reflect", grid_mode=True)
    return enlarged


def _agreeing(image: Array, scene: Degraded) -> Array:
    z, y = (torch.from_numpy(each)[None, None] * 2 - 1 for each in (image, scene.image / 255.0))
    rho = max(scene.observation.sigma, 1 / 127.5) ** 2 / (20 / 127.5) ** 2
    agreeing: Array = (scene.observation.prox(z, y, rho)[0, 0].numpy() + 1) / 2
    return agreeing
