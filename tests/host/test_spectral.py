"""Sources of many bands: files and arrays, fused with common weights, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import fusionkit
from fusionkit import ImageError, UsageError
from fusionkit.cli import main
from fusionkit.imaging.stacks import read_stack

BANDS = 5
QUICK: dict[str, Any] = {
    "estimator": "gaussian",
    "weighting": "saliency",
    "objective": {"name": "mse", "strength": 0.0},
    "device": "cpu",
}


def cubes(dtype: Any = np.uint16, top: int = 4095) -> list[Any]:
    """Return two images of five bands; the first is sharp on the left, the second on the right."""
    rows, columns = np.mgrid[:40, :56]
    texture = np.sin(columns * 1.3) * np.cos(rows * 1.1)
    made = []
    for left in (True, False):
        sharp = (columns < 28) == left
        bands = [0.5 + 0.06 * n * texture * sharp for n in range(1, BANDS + 1)]
        values = np.stack(bands) * top
        made.append(values.astype(dtype) if np.dtype(dtype).kind == "f" else np.rint(values))
    return [cube.astype(dtype) for cube in made]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    paths = [str(tmp_path / f"{name}.tif") for name in "ab"]
    for path, cube in zip(paths, cubes(), strict=True):
        tifffile.imwrite(path, cube, photometric="minisblack", metadata=None)
    return paths


def test_every_band_gets_the_same_weights() -> None:
    sources = cubes(np.float32, 1)
    result = fusionkit.fuse(sources, colour="bands", **QUICK)
    assert result.image.shape == (BANDS, 40, 56)
    assert result.image.dtype == np.float32
    # In every band, the sharp half of each.
    for n in range(BANDS):
        for part, source in ((slice(0, 20), sources[0]), (slice(36, 56), sources[1])):
            assert np.abs(result.image[n, :, part] - source[n, :, part]).max() < 0.02
    # One band alone is weighed by itself; all together agree on one map.
    assert repr(result).startswith("<Result 56x40 float32 of 5 bands")
    assert result._repr_png_().startswith(b"\x89PNG")


def test_copies_give_themselves_back() -> None:
    cube = cubes()[0]
    result = fusionkit.fuse(
        [cube, cube], colour="bands", range={1: (0, 4095), 2: (0, 4095)}, **QUICK
    )
    assert np.abs(result.image.astype(int) - cube).max() <= 1
    assert result.image.dtype == np.uint16


def test_layouts_are_one() -> None:
    first, second = cubes(np.float32, 1)
    plain = fusionkit.fuse([first, second], colour="bands", **QUICK).image
    last = fusionkit.fuse(
        [np.moveaxis(first, 0, -1), np.moveaxis(second, 0, -1)], colour="bands", **QUICK
    ).image
    tensors = fusionkit.fuse(
        [torch.from_numpy(first), torch.from_numpy(second)], colour="bands", **QUICK
    ).image
    assert np.array_equal(plain, last)
    assert isinstance(tensors, torch.Tensor)
    assert np.array_equal(plain, tensors.numpy())


@pytest.mark.parametrize("extension", [".tif", ".npy"])
def test_files_of_bands(files: list[str], extension: str, tmp_path: Path) -> None:
    output = tmp_path / f"fused{extension}"
    command = ["run", *files, "-o", str(output), "--colour", "bands", "--estimator", "gaussian"]
    command += ["--range", "1:0,4095", "--range", "2:0,4095", "--weighting", "saliency"]
    assert main(command) == 0
    if extension == ".npy":
        cube = np.load(output)
    else:
        cube = np.stack([page.pixels for page in read_stack(output, ["1:0,4095"])])
    assert cube.shape == (BANDS, 40, 56)
    assert cube.dtype == np.uint16
    assert cube.max() <= 4095
    record = json.loads(Path(f"{output}.json").read_text())
    assert record["colour"] == {"fused": "bands"}
    assert [entry["name"] for entry in record["inputs"]] == files
    again = tmp_path / f"again{extension}"
    assert main(["run", *files, "-o", str(again), "--recipe", f"{output}.json"]) == 0
    assert output.read_bytes() == again.read_bytes()


def test_samples_and_channels_are_bands(tmp_path: Path) -> None:
    cube = np.moveaxis(cubes(np.uint8, 255)[0][:4], 0, -1)
    tifffile.imwrite(tmp_path / "four.tif", cube, photometric="minisblack", planarconfig="contig")
    np.save(tmp_path / "four.npy", cube)
    result = fusionkit.fuse([tmp_path / "four.tif", tmp_path / "four.npy"], colour="bands", **QUICK)
    assert np.array_equal(np.moveaxis(result.image, 0, -1), cube)
    Image.fromarray(cube[..., :3]).save(tmp_path / "rgb.png")
    three = fusionkit.fuse([tmp_path / "rgb.png"] * 2, colour="bands", **QUICK)
    assert np.array_equal(np.moveaxis(three.image, 0, -1), cube[..., :3])


def test_the_own_range_is_that_of_all_bands() -> None:
    first, second = cubes(np.float32, 300)
    result = fusionkit.fuse([first, second], colour="bands", stretch=True, **QUICK)
    entry = result.record["inputs"][0]["range"]
    assert entry == pytest.approx([first.min(), first.max()])


def test_what_a_source_does_not_show_is_the_others() -> None:
    first, second = cubes(np.float32, 1)
    first[2, :10] = np.nan
    result = fusionkit.fuse([first, second], colour="bands", **QUICK)
    assert np.abs(result.image[:, :5] - second[:, :5]).max() < 1e-3
    second[1, :3] = np.nan
    with pytest.warns(fusionkit.FusionkitWarning, match="shown by no source"):
        result = fusionkit.fuse([first, second], colour="bands", **QUICK)
    assert np.isnan(result.image[:, :3]).all()
    assert np.isfinite(result.image[:, 4:]).all()


def test_what_does_not_go_together_is_said(tmp_path: Path, files: list[str]) -> None:
    first, second = cubes(np.float32, 1)
    with pytest.raises(ImageError, match="source 2: 4 bands, and source 1 has 5"):
        fusionkit.fuse([first, second[:4]], colour="bands", **QUICK)
    with pytest.raises(UsageError, match="one source only"):
        fusionkit.fuse([first], colour="bands", **QUICK)
    with pytest.raises(UsageError, match=r"5 channels, .* takes 3"):
        fusionkit.fuse([first, second], colour="bands", **{**QUICK, "estimator": "compact"})


def test_a_format_without_bands_is_refused(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", *files, "-o", str(tmp_path / "o.png"), "--colour", "bands"]
    command += ["--range", "1:0,4095", "--range", "2:0,4095", "--estimator", "gaussian"]
    assert main(command) == 2
    assert "PNG cannot hold 5 bands: use .tif or .npy" in capsys.readouterr().err
