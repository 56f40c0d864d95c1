"""Fixtures that tests of several commands share."""

from __future__ import annotations

import pytest
from PIL import Image


@pytest.fixture
def folders(pair, tmp_path) -> tuple[str, str]:
    """Return two folders of six pictures each, of as many sizes."""
    for name, source in zip(("ir", "vi"), pair, strict=True):
        (tmp_path / name).mkdir()
        for n in range(6):
            with Image.open(source) as image:
                image.crop((0, 0, 52 - n, 40)).save(tmp_path / name / f"{n}.png")
    return str(tmp_path / "ir"), str(tmp_path / "vi")
