"""Conventions by name, against the toolboxes' formulas written out in NumPy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage.metrics import structural_similarity

import fusionkit
from fusionkit.cli import main
from fusionkit.evaluation.conventions import CONVENTIONS

Grey = NDArray[np.uint8]


@pytest.fixture(scope="module")
def scene() -> tuple[Grey, Grey, Grey]:
    """Two sources, and a fused image darker than white."""
    generator = np.random.default_rng(1)
    a, b = generator.integers(20, 230, (2, 40, 56)).astype(np.uint8)
    return a, b, np.rint(a * 0.6 + b * 0.3).astype(np.uint8)


def information(a: Grey, b: Grey) -> float:
    """I(a; b) in nats."""
    joint = np.histogram2d(a.ravel(), b.ravel(), bins=256, range=((0, 256), (0, 256)))[0] / a.size
    alone = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / alone[there])).sum())


def stretched(image: Grey) -> Grey:
    low, high = float(image.min()), float(image.max())
    return np.rint((image - low) / (high - low) * 255).astype(np.uint8)


def test_evaluator(scene: tuple[Grey, Grey, Grey]) -> None:
    a, b, fused = scene
    found = fusionkit.evaluate(
        fused, [a, b], metrics=["mi", "psnr", "ssim", "sf", "ag"], convention="evaluator"
    )
    x, y, f = (image.astype(float) for image in (a, b, fused))
    assert found["mi"] == pytest.approx(information(a, fused) + information(b, fused))
    error = (((x - f) ** 2).mean() + ((y - f) ** 2).mean()) / 2
    assert found["psnr"] == pytest.approx(10 * np.log10(f.max() ** 2 / error))
    similar = sum(structural_similarity(f, source, data_range=2) for source in (x, y))
    assert found["ssim"] == pytest.approx(similar)
    ours = fusionkit.evaluate(fused, [a, b], metrics=["mi", "psnr", "ssim", "sf", "ag"])
    assert [name for name in ours if ours[name] != found[name]] == ["mi", "psnr", "ssim"]


def test_vifb(scene: tuple[Grey, Grey, Grey]) -> None:
    a, b, fused = scene
    names = ["mi", "psnr", "rmse", "sf", "ag"]
    found = fusionkit.evaluate(fused, [a, b], metrics=names, convention="vifb")
    x, y, f = (image.astype(float) for image in (a, b, fused))
    error = np.mean([np.sqrt(((source - f) ** 2).sum()) / f.size for source in (x, y)])
    assert found["rmse"] == pytest.approx(error)
    assert found["psnr"] == pytest.approx(20 * np.log10(255 / np.sqrt(error)))
    down, across = np.gradient(f)
    strength = np.sqrt((down**2 + across**2) / 2).sum()
    assert found["ag"] == pytest.approx(strength / ((f.shape[0] - 1) * (f.shape[1] - 1)))
    squares = (np.diff(f, axis=0) ** 2).sum() + (np.diff(f, axis=1) ** 2).sum()
    assert found["sf"] == pytest.approx(np.sqrt(squares / f.size))
    wanted = sum(information(stretched(source), stretched(fused)) for source in (a, b))
    assert found["mi"] == pytest.approx(wanted)


def test_an_option_that_is_given_stands(scene: tuple[Grey, Grey, Grey]) -> None:
    a, b, fused = scene
    found = fusionkit.evaluate(
        fused, [a, b], metrics=["mi"], convention="evaluator", metric_options={"mi": {}}
    )
    bits = {"mi": {"logarithm": "bits"}}
    again = fusionkit.evaluate(
        fused, [a, b], metrics=["mi"], convention="evaluator", metric_options=bits
    )
    assert again["mi"] == pytest.approx(found["mi"] / np.log(2))


@pytest.mark.parametrize("name", CONVENTIONS)
def test_results_say_what_was_computed(
    name: str, scene: tuple[Grey, Grey, Grey], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / f"{each}.png" for each in ("a", "b", "fused")]
    for file, image in zip(files, scene, strict=True):
        Image.fromarray(image).save(file)
    told = {}
    for convention in ("ours", name):
        command = ["evaluate", str(files[2]), "--sources", str(files[0]), str(files[1]), "--quiet"]
        metrics = ",".join({"mi", *CONVENTIONS[name]})
        assert main([*command, "--metric", metrics, "--convention", convention, "--json"]) == 0
        columns = json.loads(capsys.readouterr().out)["metrics"]
        told[convention] = {metric: each["convention"] for metric, each in columns.items()}
    for metric, words in told["ours"].items():
        assert (told[name][metric] == words) == (metric not in CONVENTIONS[name]), metric


def test_a_study_keeps_the_convention(scene: tuple[Grey, Grey, Grey], tmp_path: Path) -> None:
    folder = tmp_path / "study"
    command = {"folder": folder, "baselines": ["trivial"], "estimator": "gaussian", "steps": 1}
    a, b, _ = scene
    fusionkit.study(
        {"one": [a, b]}, {"weighting": ["fixed"]}, metrics=["mi"], convention="vifb", **command
    )
    kept = json.loads((folder / "study.json").read_text())
    assert kept["options"] == {"mi": CONVENTIONS["vifb"]["mi"]}


def test_an_unknown_convention_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (16, 16)).save(tmp_path / "a.png")
    files = [str(tmp_path / "a.png")] * 3
    command = ["evaluate", files[0], "--sources", *files[1:], "--convention", "vifbb"]
    assert main(command) == 2
    shown = capsys.readouterr().err
    assert "vifbb" in shown
    assert "Did you mean vifb?" in shown
    with pytest.raises(fusionkit.UsageError, match="convention"):
        fusionkit.evaluate(np.zeros((9, 9), np.uint8), [np.zeros((9, 9), np.uint8)] * 2,
                           convention="x")  # fmt: skip
