"""Sources, naive numpy references and the plugins alone, for the tests of weightings."""

from __future__ import annotations

import importlib.metadata
import itertools
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.ndimage
import torch
from torch import Tensor

import fusionkit


@lru_cache(maxsize=4)
def registry(plugin: str) -> fusionkit.Registry:
    """Load this plugin alone, whether or not it is installed."""
    entry = importlib.metadata.EntryPoint(plugin, f"fusionkit_{plugin}", "fusionkit")
    return fusionkit.load_plugins(entry_points=[entry], strict=True)


def build(plugin: str, name: str, **options: Any) -> Any:
    """Build a weighting from its options, as a run would."""
    provided = registry(plugin).find(fusionkit.WEIGHTING, name)
    context = fusionkit.BuildContext(precision="float64")
    return provided.build(provided.make_options(options), context)


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Uniform values in [-1, 1], float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1


def window_means(maps: np.ndarray, window: int) -> np.ndarray:
    """Mean over a window around each pixel, over what lies inside; 0 is the whole image."""
    out = np.empty_like(maps)
    for y, x in itertools.product(*map(range, maps.shape[-2:])):
        half = window // 2 if window else sum(maps.shape[-2:])
        part = maps[..., max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1]
        out[..., y, x] = part.mean((-2, -1))
    return out


def powers(values: np.ndarray, p: float) -> np.ndarray:
    """Return values^p over their sum, for values that are positive somewhere."""
    powered = np.maximum(values, 0) ** p
    return powered / powered.sum(0)


def focus_pair() -> Tensor:
    """A textured scene, sharp on the left in one source, on the right in the other."""
    rows, columns = np.mgrid[:48, :64]
    texture = draw(48, 64, seed=3).numpy()
    sharp = 0.3 * np.sin(columns / 9.0) + 0.2 * np.cos(rows / 7.0) + 0.4 * texture
    blurred = scipy.ndimage.gaussian_filter(sharp, 2.0, mode="mirror")
    left = columns < 32
    pair = np.stack([np.where(left, sharp, blurred), np.where(left, blurred, sharp)])
    return torch.from_numpy(pair)[:, None, None]


def sharp_halves(weights: Tensor) -> tuple[float, float]:
    """Mean weight of each source of :func:`focus_pair` over its sharp half."""
    return float(weights[0, ..., :32].mean()), float(weights[1, ..., 32:].mean())
