"""The gallery: its script makes the pictures that its page shows."""

from __future__ import annotations

import importlib
import re
from types import ModuleType

import pytest
from PIL import Image

from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "gallery.md").read_text("utf-8")


@pytest.fixture
def gallery(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script."""
    pytest.importorskip("skimage")
    pytest.importorskip("fusionkit_benchmarks")
    monkeypatch.syspath_prepend(str(REPOSITORY / "docs"))
    return importlib.import_module("gallery")


def test_the_page_shows_every_picture_and_says_how_it_is_made(gallery):
    assert "python docs/gallery.py docs/images" in PAGE
    shown = re.findall(r"\]\(images/gallery-(\w+)\.jpg\)", PAGE)
    assert sorted(shown) == sorted(gallery.EXAMPLES)
    for name in shown:
        path = REPOSITORY / "docs" / "images" / f"gallery-{name}.jpg"
        assert path.stat().st_size <= gallery.LARGEST


def test_examples(gallery):
    for name, make in gallery.EXAMPLES.items():
        example = make(64)
        sizes = {source.shape[:2] for source in example.sources.values()}
        assert len(sizes) == 1, name
        ((height, width),) = sizes
        assert max(height, width) == 64
        for row, column in example.details:
            assert 0 <= row <= height - gallery.detail_of(64)
            assert 0 <= column <= width - gallery.detail_of(64)


def test_the_script(gallery, tmp_path):
    gallery.main([str(tmp_path / "out"), "--only", "focus,infrared", "--side", "72"])
    made = {path.name: Image.open(path).size for path in (tmp_path / "out").iterdir()}
    assert set(made) == {"gallery-focus.jpg", "gallery-infrared.jpg"}
    columns = {
        name: width // (gallery.COLUMN + gallery.GAP) + 1 for name, (width, _) in made.items()
    }
    assert columns == {"gallery-focus.jpg": 6, "gallery-infrared.jpg": 5}
    with pytest.raises(SystemExit):
        gallery.main([str(tmp_path), "--only", "sunset"])
