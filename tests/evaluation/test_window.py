"""Pixels without data are not measured: neither they nor what would be invented for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from fusionkit.cli import main
from fusionkit.evaluation.window import largest_rectangle

HEIGHT, WIDTH = 60, 70
TOP, LEFT = 9, 17
"""What the first source lacks above, and the second at the left."""


@pytest.mark.slow
@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=7)))
@settings(max_examples=200, deadline=None)
def test_no_rectangle_is_larger(shown: np.ndarray) -> None:
    found = largest_rectangle(shown)
    area = found.width * found.height
    inside = shown[found.top : found.top + found.height, found.left : found.left + found.width]
    assert inside.size == area
    assert inside.all()
    for top in range(shown.shape[0]):
        for left in range(shown.shape[1]):
            for bottom in range(top + 1, shown.shape[0] + 1):
                for right in range(left + 1, shown.shape[1] + 1):
                    if shown[top:bottom, left:right].all():
                        assert (bottom - top) * (right - left) <= area


def images() -> dict[str, np.ndarray]:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    noise = np.random.default_rng(1).normal(0, 0.05, (2, HEIGHT, WIDTH))
    a = (0.5 + 0.3 * np.sin(columns / 4) + noise[0]).clip(0, 1)
    b = (0.5 + 0.3 * np.cos(rows / 5) + noise[1]).clip(0, 1)
    return {"a": a, "b": b, "fused": (a + b) / 2}


def saved(folder: Path, scene: dict[str, np.ndarray]) -> list[str]:
    folder.mkdir()
    for name, image in scene.items():
        tifffile.imwrite(folder / f"{name}.tif", image.astype(np.float32))
    return [str(folder / f"{name}.tif") for name in scene]


def measured(capsys: pytest.CaptureFixture[str], paths: list[str], *more: str) -> tuple[dict, str]:
    a, b, fused = paths
    command = ["evaluate", fused, "--sources", a, b, "--preset", "all", "--baselines", *more]
    assert main([*command, "--json", "--quiet"]) == 0
    said = capsys.readouterr()
    return {name: rows["mean"] for name, rows in json.loads(said.out)["methods"].items()}, said.err


@pytest.mark.slow
@pytest.mark.parametrize("foreground", [[], ["--foreground", "40"]])
def test_values_are_those_of_the_images_cut_to_what_all_sources_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], foreground: list[str]
) -> None:
    scene = images()
    cut = {name: image[TOP:, LEFT:] for name, image in scene.items()}
    expected, _ = measured(capsys, saved(tmp_path / "cut", cut), *foreground)
    holed = {name: image.copy() for name, image in scene.items()}
    holed["a"][:TOP] = np.nan
    holed["b"][:, :LEFT] = np.inf
    holed["fused"][:TOP, :LEFT] = np.nan
    found, said = measured(capsys, saved(tmp_path / "holed", holed), *foreground)
    assert expected["fused"]["ssim"] > 0
    assert found == expected
    assert f"{WIDTH - LEFT}x{HEIGHT - TOP} pixels at {LEFT},{TOP}" in said


def test_a_declared_no_data_value_counts_as_little(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b, fused = (np.rint(255 * image).astype(np.uint8) for image in images().values())
    a[:TOP] = 7
    a[TOP:][a[TOP:] == 7] = 8
    tifffile.imwrite(tmp_path / "a.tif", a, extratags=[(42113, 2, 2, "7", True)])
    for name, image in {"b": b, "fused": fused}.items():
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    paths = [str(tmp_path / name) for name in ("fused.png", "a.tif", "b.png")]
    assert main(["evaluate", paths[0], "--sources", *paths[1:], "--metric", "ssim"]) == 0
    assert f"{WIDTH}x{HEIGHT - TOP} pixels at 0,{TOP}" in capsys.readouterr().err


def test_what_cannot_be_measured_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = images()
    scene["fused"][20, 30] = np.nan
    a, b, fused = saved(tmp_path / "fused", scene)
    assert main(["evaluate", fused, "--sources", a, b, "--metric", "ssim"]) == 1
    assert "1 pixels without data where all sources have some" in capsys.readouterr().err
    scene = images()
    scene["a"][::6, ::6] = np.nan
    a, b, fused = saved(tmp_path / "holes", scene)
    assert main(["evaluate", fused, "--sources", a, b, "--metric", "ssim"]) == 1
    assert "the largest is 70x5" in capsys.readouterr().err


def test_a_sheet_shows_no_data_white_and_zooms_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = images()
    holed = {name: scene["b"].copy() for name in ("a", "b", "fused")}
    holed["a"][:TOP] = np.nan
    holed["fused"][40:50, 40:50] = 1 - holed["fused"][40:50, 40:50]
    paths = saved(tmp_path / "sheet", holed)
    sheet = tmp_path / "sheet.png"
    assert main(["compare", *paths, "-o", str(sheet)]) == 0
    x, y, size = map(int, capsys.readouterr().out.split()[-1].split(","))
    assert x + size > 40
    assert x < 50
    assert y + size > 40
    assert y < 50
    assert (np.asarray(Image.open(sheet))[:TOP, :WIDTH] == 255).all()
