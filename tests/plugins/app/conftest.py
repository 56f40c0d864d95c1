"""Two frames of one scene, as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import skimage.data
from PIL import Image


@pytest.fixture(scope="session")
def frames(tmp_path_factory) -> list[Path]:
    """Sharp in the left and in the right half; the second has a hostile name."""
    folder = tmp_path_factory.mktemp("frames")
    photo = skimage.data.astronaut()[40:168, 150:310]
    blurred = scipy.ndimage.gaussian_filter(photo, (3, 3, 0))
    left = np.mgrid[:128, :160][1][..., None] < 80
    paths = [folder / "-near.png", folder / "far<img src=x onerror=document.title='hit'>.png"]
    for path, here in zip(paths, (left, ~left), strict=True):
        Image.fromarray(np.where(here, photo, blurred)).save(path)
    return paths
