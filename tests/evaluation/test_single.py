"""``fusionkit.evaluate``: what the command measures, from Python, of whatever images are."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import fusionkit
from fusionkit import FusionkitWarning, ImageError, UsageError, evaluate
from fusionkit.cli import main

QUICK = {"weighting": "saliency", "objective": "mse", "estimator": "gaussian"}
NEAR, FAR = data.camera()[100:196, 180:276], data.camera()[100:196, 180:276][:, ::-1]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, image in zip(paths, (NEAR, FAR), strict=True):
        Image.fromarray(np.ascontiguousarray(image)).save(path)
    return paths


@pytest.mark.slow
def test_it_measures_what_the_command_does(files, tmp_path, capsys):
    result = fusionkit.fuse(files, **QUICK)
    result.save(tmp_path / "f.png")
    names = ["qabf", "vif", "ssim", "mi", "en"]
    command = ["evaluate", tmp_path / "f.png", "--sources", *files, "--metric", ",".join(names)]
    assert main([*map(str, command), "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)["methods"].values()
    expected = pytest.approx({name: shown["mean"][name] for name in names}, rel=1e-9)
    assert evaluate(tmp_path / "f.png", files, metrics=names) == expected
    assert evaluate(result, files, metrics=names) == expected
    assert evaluate(result.image, [NEAR, FAR], metrics=names) == expected
    buffer = io.BytesIO((tmp_path / "f.png").read_bytes())
    assert evaluate(buffer, [torch.from_numpy(NEAR.copy()), FAR], metrics=names) == expected


@pytest.mark.slow
def test_values_do_not_depend_on_the_number_of_threads():
    photo = data.camera()
    dim, blurred = photo // 2, np.roll(photo, 1, 0)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(evaluate(photo, [dim, blurred], metrics="infrared-visible"))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found[1] == found[0]
    assert found[2] == found[0]


def test_the_recipe_names_the_metrics(files, tmp_path):
    result = fusionkit.fuse(files, task="multi-focus", **QUICK)
    assert list(evaluate(result, files)) == ["qabf", "vif", "ssim", "qw", "qcv", "mi"]
    result.save(tmp_path / "f.png")
    assert list(evaluate(tmp_path / "f.png", files)) == list(evaluate(result, files))
    assert next(iter(evaluate(NEAR, [NEAR, FAR], metrics="multi-exposure"))) == "mef-ssim"
    assert "nabf" in evaluate(NEAR, [NEAR, FAR])


def test_a_ground_truth_adds_its_own(files):
    found = evaluate(NEAR, files, metrics=["en"], reference=files[0])
    assert list(found) == ["en", "truth-psnr", "truth-ssim"]
    assert found["truth-ssim"] == pytest.approx(1)
    assert found["truth-psnr"] == 100  # as of equal images by definition


def test_ranges_are_those_of_the_images():
    deep = [(image.astype(np.uint16) * 16) for image in (NEAR, FAR)]
    expected = evaluate(NEAR, [NEAR, FAR], metrics=["mi", "vif", "qabf"])
    of_twelve = ["1:0,4080", "2:0,4080"]
    shared = evaluate(deep[0], deep, metrics=["mi", "vif", "qabf"], range=of_twelve)
    assert shared == pytest.approx(expected, rel=1e-9)
    result = fusionkit.fuse(deep, range=of_twelve, **QUICK)
    assert evaluate(result, deep, metrics=["sd"], range=of_twelve)["sd"] < 128
    floats = [image / 255 for image in (NEAR, FAR)]
    assert evaluate(floats[0], floats, metrics=["mi"])["mi"] == pytest.approx(expected["mi"])


def test_what_cannot_be_measured_is_said():
    with pytest.raises(ImageError, match="fused is 90x96"):
        evaluate(NEAR[:, :90], [NEAR, FAR])
    with pytest.raises(UsageError, match="unknown metric 'nope'"):
        evaluate(NEAR, [NEAR, FAR], metrics=["nope"])
    with pytest.raises(UsageError, match="one source only"):
        evaluate(NEAR, [NEAR])
    small = [image[:20, :20] for image in (NEAR, FAR)]
    with pytest.warns(FusionkitWarning, match="vif: .*at least 41 x 41"):
        assert list(evaluate(small[0], small, metrics=["vif", "en"])) == ["en"]
