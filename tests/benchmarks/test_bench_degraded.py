"""``fusionkit bench degraded``: known operators, rows and tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fusionkit_benchmarks.degraded import classical
from fusionkit_benchmarks.degraded.scenes import DEGRADATIONS, Pair, degraded
from numpy.typing import NDArray

from fusionkit import load_plugins
from fusionkit.cli import main

pytestmark = pytest.mark.slow

H, W = 64, 80


def pair() -> Pair:
    y, x = np.mgrid[:H, :W]
    image = 120 + 60 * np.sin(x / 4) * np.cos(y / 5) + 50 * (x > 40)
    clean = np.rint(np.clip(image, 0, 255)).astype(np.uint8)
    return Pair("made/one", "made", (clean, 255 - clean))


def psnr(image: NDArray[np.float64], clean: NDArray[np.uint8]) -> float:
    return float(-10 * np.log10(np.square(np.clip(image, 0, 1) - clean / 255).mean()))


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_a_source_is_degraded_as_the_chain_says(kind: str, tmp_path: Path) -> None:
    scene = degraded(pair(), kind, tmp_path, load_plugins())
    factor = {"x2": 2, "x4": 4, "all": 2}.get(kind, 1)
    assert scene.image.shape == (H // factor, W // factor)
    again = degraded(pair(), kind, tmp_path, load_plugins())
    assert np.array_equal(scene.image, again.image)
    hidden = 1 - scene.known.mean()
    assert 0.3 < hidden < 0.45 if "mask" in scene.chain else hidden == 0
    if kind in ("noise10", "noise25"):
        error = scene.image.astype(float) - pair().clean[0]
        assert error.std() == pytest.approx(float(kind[5:]), rel=0.1)


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_classical_methods_are_better_than_nothing(kind: str, tmp_path: Path) -> None:
    scene = degraded(pair(), kind, tmp_path, load_plugins())
    least = psnr(classical.nothing(scene), pair().clean[0])
    for method in classical.methods(kind).values():
        image = method(scene)
        assert image.shape == (H, W)
        assert psnr(image, pair().clean[0]) > least + (0.05 if kind == "x2" else 0.3)


def test_the_command_writes_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    np.save(photos / "one.npy", pair().clean[0])
    arguments = ["--photos", str(photos), "--kinds", "x2,mask", "--estimator", "gaussian"]
    out = tmp_path / "bench"
    command = ["bench", "degraded", "-o", str(out), *arguments, "--size", "48", "--levels", "2"]
    assert main([*command, "--quiet"]) == 0
    told = json.loads((out / "degraded.json").read_text())
    rows = {(one["kind"], one["row"]) for one in told["outcomes"]}
    assert ("mask", "biharmonic") in rows
    assert ("x2", "gaussian, joint") in rows
    text = (out / "degraded.md").read_text()
    assert "| gaussian, alone |" in text
    assert "\n1 pair of 48 x 48 pixels; " in text
    assert text.strip() in capsys.readouterr().out
    assert all(one["psnr"] > 10 and 0 < one["ssim"] <= 1 for one in told["outcomes"])
    nfe = {one["nfe"] for one in told["outcomes"] if one["row"] == "gaussian, alone"}
    assert nfe == {2.0}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--kinds", "x3"], "--kinds x3: choose from x2"),
        (["--size", "33"], "a multiple of 4"),
        (["--limit", "0"], "--limit must be at least 1"),
    ],
)
def test_bad_flags(
    flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "degraded", "-o", str(tmp_path), *flags]) == 2
    assert words in capsys.readouterr().err
