"""Images to measure, and the metrics to measure them with."""

from __future__ import annotations

import importlib.metadata
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

import fusionkit
from tests.conftest import data_folder

TWO_SOURCES = ("scd", "nabf", "qcv", "qcb", "qy")
REFERENCED = ("mse", "psnr", "rmse", "ssim", "vif")
NAMES = (
    *("ce", "mef-ssimc", "qsf", "rmse"),
    *("ag", "cc", "ei", "en", "fmi-pixel", "fmi-wavelet", "mef-ssim", "mi", "mse", "nabf"),
    *("nmi", "psnr", "qabf", "qcb", "qcv", "qe", "qw", "qy", "scd", "sd", "sf", "ssim", "vif"),
)

APART = ("ergas", "gmsd", "ms-ssim", "qnr", "sam")
"""Those that want large images, one image to compare with, or colour."""

FILES = ("network",)
"""Those that are a file of the user's: test_network.py."""

PARTIAL = ("target-contrast",)
"""Those that are not measured where there is nothing to measure."""


@lru_cache(maxsize=1)
def registry() -> fusionkit.Registry:
    """Load this plugin alone, whether or not it is installed."""
    entry = importlib.metadata.EntryPoint("metrics", "fusionkit_metrics", "fusionkit")
    return fusionkit.load_plugins(entry_points=[entry], strict=True)


def metric(name: str, **options: Any) -> fusionkit.Metric:
    """Build a metric by name."""
    provided = registry().find(fusionkit.METRIC, name)
    built: fusionkit.Metric = provided.build(
        provided.make_options(options), fusionkit.BuildContext(precision="float64")
    )
    return built


def value(name: str, fused: Any, *sources: Any, **options: Any) -> float:
    """Measure one image (H, W) against sources (H, W)."""
    stack = torch.stack([torch.as_tensor(s, dtype=torch.float64) for s in sources])
    image = torch.as_tensor(fused, dtype=torch.float64)
    return float(metric(name, **options)(image[None, None], stack[:, None, None])[0])


def scene(height: int = 64, width: int = 72, K: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Make a fused image (H, W) and its sources (K, H, W): textured, not whole numbers.

    A corner is black in all of them, as the ground of medical images is.
    """
    rng = np.random.default_rng(seed)
    shared = gaussian_filter(rng.standard_normal((height, width)), 3) * 300
    images = []
    for _ in range(K + 1):
        own = gaussian_filter(rng.standard_normal((height, width)), 1) * 60
        noise = rng.standard_normal((height, width)) * 2
        images.append(np.clip(120 + shared + own + noise, 0, 255))
    stack = torch.tensor(np.stack(images))
    stack[0] = 0.5 * stack[1:].mean(0) + 0.5 * stack[0]
    stack[:, : height // 4, : width // 4] = 0
    return stack[0], stack[1:]


def luma(path: Path) -> Tensor:
    """BT.601 luma of a file, float64, not rounded."""
    with Image.open(path) as image:
        values = np.asarray(image if image.mode == "L" else image.convert("RGB"), float)
    return torch.tensor(values if values.ndim == 2 else values @ [0.299, 0.587, 0.114])


def seafusion(pair: str) -> tuple[Tensor, Tensor]:
    """SeAFusion's published result for a TNO pair, and its sources (2, H, W)."""
    folder = data_folder()
    if folder is None:
        pytest.skip("no folder of real image pairs")
    files = [folder / "data/sources/ivif/tno" / f"{pair}_{role}.png" for role in ("ir", "vi")]
    fused = folder / "data/peers/SeAFusion/tno" / f"{pair}.png"
    if not all(file.is_file() for file in (fused, *files)):
        pytest.skip(f"no TNO pair {pair} with SeAFusion's result")
    return luma(fused), torch.stack([luma(file) for file in files])
