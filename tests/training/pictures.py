"""Photographs to train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def photograph_folder(folder: Path, count: int = 4) -> Path:
    """A folder of small pictures in colour: waves with an edge, and some texture."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:136, :152]
    generator = np.random.default_rng(5)
    for n in range(count):
        waves = [np.sin(columns / (3 + n + c)) + np.cos(rows / (4 + 2 * n)) for c in range(3)]
        scene = 127 + 40 * np.stack(waves, -1) * np.where(columns > 25 * n, 1, -0.5)[..., None]
        scene = scene + generator.normal(0, 12, rows.shape)[..., None]
        Image.fromarray(scene.clip(0, 255).astype(np.uint8)).save(folder / f"{n}.png")
    return folder
