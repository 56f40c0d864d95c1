"""Photographs in memory: which pixels a crop has, and how it is varied."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fusionkit_training.compact.crops import GREY, INVERTED, Photographs, vary
from fusionkit_training.photographs import find_photographs, read_rgb, sources_of
from fusionkit_training.state import generator_for
from PIL import Image
from torch import Tensor

from fusionkit.errors import UsageError
from tests.training.pictures import photograph_folder


@pytest.fixture
def coded(tmp_path) -> Photographs:
    """Pictures whose pixels say where they are: row, column, which picture."""
    rows, columns = np.mgrid[:60, :80]
    for n in range(2):
        pixels = np.stack([rows, columns, np.full_like(rows, n)], -1).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{n}.png")
    return Photographs.read(find_photographs([tmp_path]), 16)


def test_crops_are_windows_flipped_and_turned(coded: Photographs) -> None:
    crops = (255 * coded.crops(300, 16, generator_for(0, 0))).round()
    seen = set()
    for crop in crops:
        assert crop[2].min() == crop[2].max()
        down, right = crop[:2, 1, 0] - crop[:2, 0, 0], crop[:2, 0, 1] - crop[:2, 0, 0]
        i, j = (torch.arange(16.0).view(shape) for shape in ((1, -1, 1), (1, 1, -1)))
        expected = crop[:2, :1, :1] + down.view(2, 1, 1) * i + right.view(2, 1, 1) * j
        assert torch.equal(crop[:2], expected)  # linear, so contiguous
        # One axis moves along rows and the other along columns, by 1, or by 2 at half size.
        (a, b), (c, d) = down.abs().tolist(), right.abs().tolist()
        assert sorted([a, b]) == sorted([c, d]) in ([0, 1], [0, 2])
        assert (a == 0) != (c == 0)
        seen.add((*down.tolist(), *right.tolist(), int(crop[2, 0, 0])))
    assert len(seen) == 8 * 2 * 2  # symmetries, sizes, pictures
    assert crops[:, 0].min() == 0
    assert crops[:, 0].max() == 59
    assert crops[:, 1].max() == 79


def test_crops_are_a_function_of_the_generator(coded: Photographs) -> None:
    once, again, other = (coded.crops(9, 16, generator_for(0, step)) for step in (1, 1, 2))
    assert once.shape == (9, 3, 16, 16)
    assert once.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_crops_are_varied_in_the_shares_that_are_said() -> None:
    crops = torch.tensor([0.9, 0.5, 0.3]).view(1, 3, 1, 1).expand(4000, 3, 2, 2)
    before = crops.clone()
    varied = vary(crops, generator_for(0, 0))
    assert torch.equal(crops, before)
    assert 0 <= float(varied.min()) < float(varied.max()) <= 1

    def share(these: Tensor) -> float:
        return float(these.float().mean())

    first, _, third = varied[:, :, 0, 0].T
    assert share((first - third).abs() < 1e-6) == pytest.approx(GREY, abs=0.02)
    assert share(first < third - 1e-6) == pytest.approx(INVERTED * (1 - GREY), abs=0.02)
    assert share((varied - before).abs().amax((1, 2, 3)) < 1e-6) == pytest.approx(
        0.85 * 0.9 * 0.85 * 0.85, abs=0.03
    )


def test_grey_and_deep_images_are_read_as_rgb(tmp_path) -> None:
    ramp = np.arange(64, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(ramp.astype(np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(ramp * 257).save(tmp_path / "deep.png")
    for name in ("grey.png", "deep.png"):
        image, sha256 = read_rgb(tmp_path / name)
        assert image.dtype == torch.uint8
        assert torch.equal(image, torch.from_numpy(ramp.astype(np.uint8)).expand(3, 8, 8))
        assert len(sha256) == 64


def test_the_hash_is_that_of_the_files(tmp_path) -> None:
    paths = find_photographs([photograph_folder(tmp_path / "a", 3)])
    assert Photographs.read(paths, 16).sha256 == Photographs.read(paths, 8).sha256
    assert Photographs.read(paths, 16).sha256 != Photographs.read(paths[:2], 16).sha256
    assert Photographs.read(paths, 16).count == 3


def test_sources_and_licences_are_counted_from_the_manifest(tmp_path) -> None:
    paths = find_photographs([photograph_folder(tmp_path / "train", 4)])
    assert sources_of(paths) == {"unknown": {"unknown": 4}}
    rows = ["file,source,licence", "train/0.png,here,CC0", "train/1.png,here,CC0", "2.png,there,X"]
    (tmp_path / "MANIFEST.csv").write_text("\n".join(rows))
    expected = {"here": {"CC0": 2}, "there": {"X": 1}, "unknown": {"unknown": 1}}
    assert sources_of(paths) == sources_of(paths, tmp_path / "MANIFEST.csv") == expected


def test_what_cannot_be_trained_on_is_named(tmp_path) -> None:
    paths = find_photographs([photograph_folder(tmp_path / "a", 1)])
    with pytest.raises(UsageError, match=r"0\.png: 152x136 pixels are too small"):
        Photographs.read(paths, 69)
    with pytest.raises(UsageError, match="no such file"):
        Photographs.read([tmp_path / "none.png"], 16)
