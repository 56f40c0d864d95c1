"""A scene whose right answer is known, and what its generators share: seeds, layers, rounding."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Array = NDArray[np.float64]

LAYER_SCALE = 0.12
"""Standard deviation of the smoothing that layers come from, in shorter sides of the image."""


@dataclass(frozen=True, eq=False)
class TruthScene:
    """Sources that were made from a photograph, and the photograph.

    Attributes
    ----------
    name
        What it is called; its random numbers depend on it.
    sources
        (K, H, W) or (K, H, W, 3) in [0, 1], on the 256 levels of a file (noise that is not
        stored excepted).
    truth
        (H, W) or (H, W, 3) in [0, 1].
    masks
        (K, H, W), >= 0, summing to 1 over K: where each source is the one to look at.
    sigmas
        (K,): the standard deviation of each source's noise, of 255; 0 for none.
    """

    name: str
    sources: Array
    truth: Array
    masks: Array
    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        K = len(self.sources)
        if self.sources.shape[1:] != self.truth.shape or self.masks.shape[1:] != self.size:
            raise ValueError(f"{self.name}: sources, truth and masks differ in size")
        if len(self.masks) != K or len(self.sigmas) != K:
            raise ValueError(f"{self.name}: {K} sources need {K} masks and noise levels")

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.truth.shape[0], self.truth.shape[1]


def checked_photograph(photograph: NDArray[Any]) -> Array:
    """Return a photograph as float64 in [0, 1], (H, W) or (H, W, 3).

    Raises
    ------
    ValueError
        It has another shape, or values outside [0, 1] (0 ... 255 for uint8).
    """
    image = np.asarray(photograph)
    unit = image / 255 if image.dtype == np.uint8 else image.astype(np.float64)
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"a photograph is (H, W) or (H, W, 3), not {image.shape}")
    if not (np.isfinite(unit).all() and unit.min() >= 0 and unit.max() <= 1):
        raise ValueError("a photograph is uint8, or floats in [0, 1]")
    return unit


def generator_of(seed: int, *names: object) -> np.random.Generator:
    """Return the generator of a seed and names: another name, independent numbers."""
    key = "\n".join(map(str, (seed, *names))).encode()
    return np.random.default_rng(int.from_bytes(hashlib.sha256(key).digest()[:16], "big"))


def eight_bits(unit: NDArray[Any]) -> Array:
    """Round to the 256 levels that an 8-bit file holds; [0, 1] to [0, 1]."""
    rounded: Array = np.rint(np.clip(unit, 0.0, 1.0) * 255) / 255
    return rounded


def layers(size: tuple[int, int], count: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Divide an image into smooth layers of about equal area, nearest first.

    Level sets of Gaussian noise smoothed by ``LAYER_SCALE``: like depth, layer j borders
    on j - 1 and j + 1 only.

    Returns
    -------
    array of int, (H, W)
        0 ... count - 1.
    """
    if count < 2:
        raise ValueError(f"a scene to fuse has two sources or more, not {count}")
    depth = gaussian_filter(random.standard_normal(size), LAYER_SCALE * min(size), mode="reflect")
    cuts = np.quantile(depth, np.arange(1, count) / count)
    layer: NDArray[np.intp] = np.searchsorted(cuts, depth)
    return layer


def one_hot(layer: NDArray[np.intp], count: int) -> Array:
    """Return (H, W) layers as masks (K, H, W) of 0 and 1."""
    masks: Array = (layer == np.arange(count)[:, None, None]).astype(np.float64)
    return masks
