"""Fusing sources that do not show everything: no data, NaN, frames of different extent."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

import fusionkit
from fusionkit.cli import main
from fusionkit.errors import ImageError
from fusionkit.imaging import read_picture
from fusionkit.recipes.finding import tasks

SIZE = (96, 128)
QUIET = {"noise": ["1:0", "2:0"]}


def scene(seed: int) -> np.ndarray:
    """Shades, edges and texture, (H, W, 3) in [0.1, 0.9]."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    shade = 0.5 + 0.25 * np.sin(columns / (9 + seed) + rows / 17)
    edges = 0.2 * (((columns // 16) + (rows // 12) + seed) % 2)
    grey = shade + edges - 0.1 + rng.normal(0, 0.02, SIZE)
    return np.stack([grey, 0.8 * grey + 0.1, 0.6 * grey + 0.2], -1).clip(0.1, 0.9)


@pytest.fixture(scope="module")
def thermal() -> np.ndarray:
    """Degrees, float32, warm almost everywhere."""
    return (60 + 35 * scene(4)[..., 0]).astype(np.float32)


@pytest.fixture(scope="module")
def visible() -> np.ndarray:
    return np.rint(scene(1) * 255).astype(np.uint8)


def inside(mask: np.ndarray, distance: int) -> np.ndarray:
    """Pixels of a mask that are so far from its edge, along the axes and diagonals."""
    for _ in range(distance):
        padded = np.pad(mask, 1, mode="edge")
        mask = np.all(
            [padded[a : a + SIZE[0], b : b + SIZE[1]] for a in range(3) for b in range(3)], axis=0
        )
    return mask


@pytest.mark.parametrize("task", tasks())
def test_a_hole_is_the_other_source_alone(task, thermal, visible):
    hole = np.zeros(SIZE, bool)
    hole[30:70, 40:90] = True
    hole[:8] = True
    spoiled = thermal.copy()
    spoiled[hole] = np.nan
    options = {"task": task, "range": ["1:60,95"], "depth": "8", **QUIET}
    with pytest.warns(fusionkit.FusionkitWarning, match="pixels are NaN or infinite"):
        result = fusionkit.fuse([spoiled, visible], **options).image.astype(int)
    difference = np.abs(result - visible).max(-1)
    assert difference[inside(hole, 5)].max() <= 1, "no halo"
    # Far from the hole, nothing has changed.
    whole = fusionkit.fuse([thermal, visible], **options).image.astype(int)
    outside = inside(~hole, 24)
    assert outside.sum() > 500
    assert np.abs(result - whole).max(-1)[outside].mean() < 2.5
    # And no edge of the fill is seen outside: just beside the hole it is the fusion of both.
    beside = ~hole & ~inside(~hole, 3)
    assert np.abs(result - whole).max(-1)[beside].mean() < 12


def test_single_dead_pixels_leave_no_trace(thermal, visible):
    rng = np.random.default_rng(2)
    dead = rng.random(SIZE) < 0.005
    spoiled = thermal.copy()
    spoiled[dead] = np.nan
    options = {"task": "infrared-visible", "range": ["1:60,95"], "depth": "8", **QUIET}
    result = fusionkit.fuse([spoiled, visible], **options).image.astype(int)
    whole = fusionkit.fuse([thermal, visible], **options).image.astype(int)
    taken = np.abs(visible - whole).max(-1)[dead].mean()  # of the other source, as it is
    assert np.abs(result - whole).max(-1)[dead].mean() < taken / 3
    assert np.abs(result - whole).max(-1)[~dead].mean() < 1


def test_stretch_ignores_what_is_masked(thermal, visible):
    spoiled = thermal.copy()
    spoiled[:6] = np.nan
    span = [float(spoiled[6:].min()), float(spoiled[6:].max())]
    record = fusionkit.fuse([spoiled, visible], stretch=[1], steps=1, **QUIET).record
    assert record["inputs"][0]["range"] == span
    assert record["inputs"][0]["masked"] == 6 * SIZE[1]
    assert record["inputs"][1]["masked"] == 0


def test_denoised_sources_are_denoised_where_they_are_alone(visible):
    rng = np.random.default_rng(3)
    grey = visible[..., 1].astype(float)
    noisy = np.rint((grey + rng.normal(0, 20, SIZE)).clip(0, 255)).astype(np.uint8)
    other = (scene(4)[..., 0]).astype(np.float32)
    other[20:80, 30:110] = np.nan
    result = fusionkit.fuse([other, noisy], depth="8", noise=["2:20"]).image.astype(float)
    hole = inside(np.isnan(other), 5)
    before, after = (np.sqrt(np.mean((each - grey)[hole] ** 2)) for each in (noisy, result))
    assert after < 0.6 * before


def test_what_no_source_shows(thermal, tmp_path):
    first, second = thermal.copy(), thermal[::-1].copy()
    first[:10], second[:, :10] = np.nan, np.nan
    both = np.isnan(first) & np.isnan(second)
    result = fusionkit.fuse([first, second], range=["1:60,95", "2:60,95"], **QUIET)
    assert result.image.dtype == np.float32
    assert np.array_equal(np.isnan(result.image), both)
    assert any(
        f"{both.sum()} pixels are shown by no source" in n for n in result.record["warnings"]
    )
    result.save(tmp_path / "o.tif")
    assert np.array_equal(np.isnan(tifffile.imread(tmp_path / "o.tif")), both)
    # Whole numbers have no NaN: they are transparent.
    result = fusionkit.fuse([first, second], range=["1:60,95", "2:60,95"], depth="16", **QUIET)
    assert result.image.shape == (*SIZE, 2)
    assert np.array_equal(result.image[..., 1] == 0, both)
    with pytest.raises(ImageError, match=r"JPEG cannot hold"):
        result.save(tmp_path / "o.jpg")


def geotiff(path, samples, no_data):
    tags = [(42113, "s", 0, no_data, True), (33550, "d", 3, (10.0, 10.0, 0.0), True)]
    tifffile.imwrite(path, samples, extratags=tags, metadata=None)
    return str(path)


@pytest.mark.parametrize(
    ("name", "declares"), [("o.tif", True), ("o.png", False), ("o.jpg", False)]
)
def test_formats_that_cannot_declare_no_data_are_said_to(tmp_path, capsys, name, declares):
    one = np.rint(255 * scene(1)[..., 0]).astype(np.uint8)
    one[:20] = 0
    source, out = geotiff(tmp_path / "a.tif", one, "0"), str(tmp_path / name)
    assert main(["run", source, source, "-o", out, "--noise", "1:0", "--noise", "2:0"]) == 0
    said = capsys.readouterr().err
    assert "shown by no source: in the output they are 0" in said
    assert (f"{out}: it cannot declare the no-data value 0" in said) != declares


def test_no_data_goes_from_geotiff_to_geotiff(tmp_path, capsys):
    one, two = (np.rint(4000 * scene(seed)[..., 0]).astype(np.int16) for seed in (1, 2))
    one[:20], two[:, :30] = -1, -1
    both = (one == -1) & (two == -1)
    names = [geotiff(tmp_path / f"{n}.tif", x, "-1") for n, x in (("a", one), ("b", two))]
    spans = ["--range", "1:-1,4000", "--range", "2:-1,4000"]
    out = tmp_path / "o.tif"
    assert main(["run", *names, "-o", str(out), *spans]) == 0
    assert f"{both.sum()} pixels are shown by no source: in the output they are -1" in (
        capsys.readouterr().err
    )
    with tifffile.TiffFile(out) as file:
        page = file.pages[0]
        assert page.tags[42113].value == "-1"
        assert page.tags[33550].value == (10.0, 10.0, 0.0)
        fused = page.asarray()
    assert fused.dtype == np.int16
    assert np.array_equal(fused == -1, both), "and no other value is taken for none"
    alone = inside(one == -1, 5) & ~both
    assert np.abs(fused.astype(int) - two)[alone].max() <= 1
    # What is read of it again knows of it; in another range the value would mean nothing.
    assert read_picture(out, (-1, 4000), masks=True).mask.sum() == (~both).sum()
    assert "cannot declare" not in capsys.readouterr().err
    other = tmp_path / "p.tif"
    assert main(["run", *names, "-o", str(other), "--stretch", "--quiet"]) == 0
    with tifffile.TiffFile(other) as file:
        assert 42113 not in file.pages[0].tags
        assert file.pages[0].asarray().shape == (*SIZE, 2)
    about = json.loads((tmp_path / "p.tif.json").read_text())["metadata"]
    assert "GDAL_NODATA" in about["left_out"]


def test_frames_on_one_canvas(tmp_path, visible, capsys):
    """As alignment writes them: each opaque where the shifted frame has pixels."""
    truth = visible.astype(float)
    blurred = truth.copy()
    for _ in range(12):
        padded = np.pad(blurred, ((1, 1), (1, 1), (0, 0)), mode="edge")
        blurred = (
            sum(padded[a : a + SIZE[0], b : b + SIZE[1]] for a in range(3) for b in range(3)) / 9
        )
    left = (np.arange(SIZE[1]) < 64)[None, :, None]
    frames = [np.where(left, truth, blurred), np.where(left, blurred, truth)]
    canvas = [np.zeros(SIZE, bool) for _ in range(2)]
    canvas[0][:-5, 3:], canvas[1][5:, :-4] = True, True
    for name, frame, opaque in zip("ab", frames, canvas, strict=True):
        stored = np.dstack([np.rint(frame * opaque[..., None]), opaque * 255]).astype(np.uint8)
        Image.fromarray(stored).save(tmp_path / f"{name}.png")
    out = tmp_path / "o.png"
    sources = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert main(["run", *sources, "-o", str(out), "--task", "multi-focus"]) == 0
    assert "differ in transparency" in capsys.readouterr().err
    fused = np.asarray(Image.open(out)).astype(float)
    assert np.array_equal(fused[..., 3] > 0, canvas[0] | canvas[1])
    both = canvas[0] & canvas[1]
    error = np.abs(fused[..., :3] - truth).max(-1)
    assert error[both & (np.abs(np.arange(SIZE[1]) - 64) > 16)].mean() < 4
    # Along the borders, where one frame ends, nothing of its black ground is seen.
    for own, (one, two) in zip(frames, (canvas, canvas[::-1]), strict=True):
        alone = one & ~two
        assert np.abs(fused[..., :3] - own).max(-1)[alone].mean() < 12


def test_a_third_source_goes_on(thermal, visible):
    """Where two of three are left, it is their fusion."""
    third = np.rint(scene(7) * 255).astype(np.uint8)
    spoiled = thermal.copy()
    spoiled[30:70, 40:90] = np.nan
    hole = inside(np.isnan(spoiled), 9)
    options = {"range": ["1:60,95"], "depth": "8", "task": "general"}
    differences = []
    for seed in range(4):  # gains are of one draw of the noise: error is 3 to 8 by seed
        result, alone = (
            fusionkit.fuse(
                [first, visible, third], **options, noise=["1:0", "2:0", "3:0"], seed=seed
            )
            for first in (spoiled, thermal)
        )
        pair = fusionkit.fuse([visible, third], task="general", **QUIET, seed=seed)
        differences.append(
            [
                np.abs(each.image.astype(int) - pair.image).max(-1)[hole].mean()
                for each in (result, alone)
            ]
        )
    error, before = np.mean(differences, axis=0)
    assert error < 6
    assert error < before / 3
