"""The recipe, the reader and the command, as people use them."""

import json

import numpy as np
import pytest

from fusionkit.cli import main


def write_grey(path, pixels):
    height, width = pixels.shape
    greatest = 255 if pixels.dtype == np.uint8 else 4095
    header = f"GREY\n# made for a test\n{width} {height}\n{greatest}\n".encode()
    path.write_bytes(header + pixels.astype(pixels.dtype.newbyteorder(">")).tobytes())
    return str(path)


@pytest.fixture
def pair(tmp_path):
    """Two 12-bit files, each sharp in one half."""
    rows, columns = np.mgrid[:40, :48]
    scene = 2000 + 900 * np.sin(columns / 1.3) * np.cos(rows / 1.7)
    smooth = np.full_like(scene, 2000)
    halves = np.where(columns < 24, scene, smooth), np.where(columns < 24, smooth, scene)
    paths = [tmp_path / "near.grey", tmp_path / "far.grey"]
    return scene, [write_grey(p, h.astype(np.uint16)) for p, h in zip(paths, halves, strict=True)]


def test_the_reader_and_the_recipe_together(pair, tmp_path):
    scene, paths = pair
    out = tmp_path / "fused.npy"
    assert main(["run", *paths, "-o", str(out), "--task", "sharpest-focus", "--quiet"]) == 0
    record = json.loads((tmp_path / "fused.npy.json").read_text())
    assert record["recipe"]["weighting"]["name"] == "example:sharpest"
    assert record["metrics"] == "multi-focus"
    assert record["inputs"][0]["range"] == [0, 4095]
    away = np.abs(np.arange(48) - 24) > 8
    assert np.abs(np.load(out) - scene)[:, away].mean() < 90  # the mean misses by 180


def test_a_folder_is_fused(pair, tmp_path):
    assert main(["run", str(tmp_path), "-o", str(tmp_path / "out"), "--stack-by", "all"]) == 0
    assert len(list((tmp_path / "out").glob("*.json"))) == 1


@pytest.mark.parametrize("data", [b"GREY nonsense", b"GREY 9 9 255 short"])
def test_a_damaged_file_is_one_line(data, tmp_path, capsys):
    path = tmp_path / "a.grey"
    path.write_bytes(data)
    assert main(["levels", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"fusionkit: error: {path}: reader grey (plugin example, ")
    assert said.count("\n") == 1


def test_the_command(tmp_path, capsys):
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    path = write_grey(tmp_path / "a.grey", pixels)
    assert main(["levels", path]) == 0
    assert capsys.readouterr().out == f"{path}: (3, 4), uint8, 0 to 11, mean 5.5\n"
