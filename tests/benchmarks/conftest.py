"""What the tests of ``fusionkit bench quality`` share: tiny photographs, sets and recipes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .benches import QUICK


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photographs of 96 x 96 pixels."""
    skimage_data = pytest.importorskip("skimage.data")
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(skimage_data.astronaut()[0:96, 160:256]).save(folder / "a.png")
    Image.fromarray(skimage_data.coffee()[100:196, 200:296]).save(folder / "b.png")
    return folder


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """A recipe that costs next to nothing."""
    path = tmp_path / "quick.toml"
    path.write_text(QUICK.format(estimator="gaussian"))
    return str(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Published sets of tiny images: infrared and visible, medical, and a focus stack of three."""
    generator = np.random.default_rng(0)
    root = tmp_path / "data"

    def save(name: str, colour: bool = False, ground: bool = False) -> None:
        image = generator.integers(0, 256, (48, 48) + (3,) * colour).astype(np.uint8)
        if ground:
            image[:12] = 0
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / name)

    for scene in ("01", "02"):
        save(f"sources/ivif/tno/{scene}_ir.png")
        save(f"sources/ivif/tno/{scene}_vi.png")
        save(f"peers/Theirs/tno/{scene}.png")
        save(f"sources/medical/pet-mri/{scene}_mri.png", ground=True)
        save(f"sources/medical/pet-mri/{scene}_pet.png", colour=True, ground=True)
    for role in "abc":
        save(f"sources/mff_stack/three/01_{role}.png", colour=True)
    return root
