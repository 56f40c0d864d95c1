"""The preparation ``observe``: from files of sensors to a fused image and its record."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fusionkit import PREPARATION, FusionkitWarning, ImageError, UsageError, fuse, load_plugins
from fusionkit.cli import main
from fusionkit.host.listing import images_by_stem, sources_of
from fusionkit.imaging import read_picture
from fusionkit.testing import checks_for

H, W = 48, 64
PLAIN: dict[str, Any] = {"estimator": "gaussian", "weighting": "fixed", "steps": 1}


def scene() -> NDArray[np.float64]:
    """Return smooth structure and an edge, (H, W) in [0, 1]."""
    y, x = np.mgrid[:H, :W]
    image: NDArray[np.float64] = 0.45 + 0.2 * np.sin(x / 6) * np.cos(y / 5) + 0.25 * (x > 30)
    return image


def stored(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def pair() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a source of 4 times fewer pixels an axis, and another that shows the same."""
    c = scene()
    return stored(c.reshape(H // 4, 4, W // 4, 4).mean((1, 3))), stored(0.9 - 0.6 * c)


def quietly(*args: Any, **how: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FusionkitWarning)
        return fuse(*args, **{**PLAIN, **how})


def error(image: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.abs(image.astype(float) - other.astype(float)).mean())


def test_conformance() -> None:
    provided = load_plugins().find(PREPARATION, "restoration:observe")
    for check in checks_for(provided):
        check.run()
    for check in checks_for(provided, {"chains": ["1:noise=5", "2:mask=auto"], "levels": 2}):
        if check.name != "other_options_keep_it_too":
            check.run()


def test_a_source_of_fewer_pixels_is_taken_as_such() -> None:
    small, sharp = pair()
    with pytest.warns(FusionkitWarning, match="source 1: 16x12 pixels are taken as those of the"):
        result = fuse([small, sharp], **PLAIN)
    assert result.image.shape == (H, W)
    made = result.record["preparations"]["observe"]
    assert made["sources"]["1"]["size"] == [16, 12]
    assert made["sources"]["1"]["chain"][0]["name"] == "observations:downsample"
    assert made["evaluations"] == 10
    assert result.record["recipe"]["preparations"]["observe"]["name"] == "restoration:observe"
    assert result.record["run"]["nfe"] >= 10
    whole = quietly([stored(scene()), sharp])
    nearest = quietly([np.kron(small, np.ones((4, 4), np.uint8)), sharp])
    assert error(result.image, whole.image) < 0.6 * error(nearest.image, whole.image)


def test_what_is_taken_from_the_other_source_is_said_and_can_be_left_out() -> None:
    small, sharp = pair()
    with pytest.warns(FusionkitWarning, match="comes from what other sources show; --no-observe.g"):
        guided = fuse([small, sharp], **PLAIN)
    assert guided.record["preparations"]["observe"]["sources"]["1"]["taken"] > 0.5
    alone = quietly([small, sharp], observe={"guided": False})
    assert alone.record["preparations"]["observe"]["sources"]["1"]["taken"] == 0
    whole = quietly([stored(scene()), sharp])
    assert error(guided.image, whole.image) < error(alone.image, whole.image)


def test_the_largest_source_decides_the_grid_whatever_the_order() -> None:
    small, sharp = pair()
    one, other = quietly([small, sharp]), quietly([sharp, small])
    assert one.image.shape == other.image.shape == (H, W)
    assert error(one.image, other.image) < 0.5


def test_ratios_that_are_no_whole_numbers() -> None:
    sharp = stored(scene())
    small = np.ascontiguousarray(sharp[:30, :40])
    assert quietly([small, sharp]).image.shape == (H, W)


@pytest.mark.filterwarnings("ignore::fusionkit.FusionkitWarning")
@pytest.mark.parametrize("shape", [(12, 12), (H, W // 2), (H + 8, W)])
def test_sizes_that_do_not_go_together(shape: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="fusion needs registered images of one"):
        fuse([np.zeros(shape, np.uint8), stored(scene())], **PLAIN)


def test_dead_pixels_and_rows() -> None:
    c = stored(scene())
    broken = c.copy()
    broken[::7, 3::9] = 255
    broken[20] = 0
    other = stored(0.9 - 0.6 * scene())
    whole = quietly([c, other])
    restored = quietly([broken, other], observe=["1:mask=auto"])
    assert restored.record["preparations"]["observe"]["sources"]["1"]["hidden"] > 0.03
    assert error(restored.image, whole.image) < 0.2 * error(
        quietly([broken, other]).image, whole.image
    )


def test_pixels_that_the_file_says_are_missing_are_filled() -> None:
    c = scene().astype(np.float32)
    holes = c.copy()
    holes[10:14, 20:50] = np.nan
    other = (0.9 - 0.6 * c).astype(np.float32)
    whole = quietly([c, other])
    restored = quietly([holes, other], observe=["1:mask=missing"])
    assert np.isfinite(restored.image).all()
    there = np.s_[10:14, 20:50]
    assert np.abs(restored.image - whole.image)[there].mean() < 0.05
    # Not asked to be filled, they stay to the other source.
    left = quietly([holes, other], observe=["1:noise=1"])
    plain = quietly([holes, other])
    assert np.abs(left.image - plain.image)[there].mean() < 0.02


def test_colour_of_a_source_of_fewer_pixels() -> None:
    small, sharp = pair()
    tinted = np.dstack([small, small // 2, small // 4])
    result = quietly([tinted, sharp])
    assert result.image.shape == (H, W, 3)
    red, green, blue = np.moveaxis(result.image.astype(float), -1, 0)
    assert red.mean() > green.mean() > blue.mean()
    rgb = quietly([tinted, np.dstack([sharp] * 3)], colour="rgb")
    assert rgb.image.shape == (H, W, 3)


@pytest.mark.filterwarnings("ignore::fusionkit.FusionkitWarning")
def test_a_run_is_its_record() -> None:
    small, sharp = pair()
    result = quietly([small, sharp], observe=["1:downsample,noise=2"])
    again = fuse([small, sharp], recipe=result.record["recipe"])
    assert np.array_equal(result.image, again.image)


def test_what_nobody_speaks_of_stays_to_the_bit() -> None:
    c, other = stored(scene()), stored(0.9 - 0.6 * scene())
    plain = quietly([c, other])
    assert np.array_equal(quietly([c, other], observe=True).image, plain.image)


@pytest.mark.parametrize(
    ("chain", "words"),
    [
        ("3:downsample", "--observe 3:downsample: there is no source 3"),
        ("1:blur=2", "--observe 1:blur=2: images of 64 x 48 pixels are so measured as"),
        ("1:downsample=2", "but the source has 16 x 12 pixels: add downsample"),
        ("2:downsample=2", "are so measured as 32 x 24 pixels, but the source has 64 x 48"),
        ("1:downsampel", "unknown observation 'downsampel'"),
    ],
)
def test_bad_input_is_one_line(chain: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        quietly([*pair()], observe=[chain])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small, sharp = pair()
    for name, image in (("ir", small), ("vi", sharp)):
        np.save(tmp_path / f"{name}.npy", image)
    sources = [str(tmp_path / "ir.npy"), str(tmp_path / "vi.npy")]
    flags = ["--estimator", "gaussian", "--weighting", "fixed", "--steps", "1"]
    out = str(tmp_path / "out.png")
    chain = ["--observe", "1:downsample,noise=2", "--observe", "2:noise=1", "--observe.levels", "3"]
    assert main(["run", *sources, "-o", out, *flags, *chain, "--no-observe.guided"]) == 0
    assert read_picture(out).shape == (H, W)
    record = Path(f"{out}.json").read_text()
    assert '"sigma": "2"' in record
    assert "noise=2" in record
    capsys.readouterr()
    again = str(tmp_path / "again.png")
    assert main(["run", *sources, "-o", again, "--recipe", f"{out}.json"]) == 0
    assert Path(again).read_bytes() == Path(out).read_bytes()
    assert main(["run", *sources, "-o", out, "--overwrite", *flags, "--observe", "1:blur=2"]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert "--observe 1:blur=2: images of 64 x 48 pixels" in said[-1]


def holes_and_other() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Return a source with a hole and scattered missing pixels (NaN), another, and where."""
    c = scene().astype(np.float32)
    hole = np.random.default_rng(3).random((H, W)) < 0.2
    hole[20:28, 12:40] = True
    return np.where(hole, np.float32(np.nan), c), (0.9 - 0.6 * c).astype(np.float32), hole


def test_what_was_filled_in_is_unsure_and_what_was_measured_is_not() -> None:
    holes, other, hole = holes_and_other()
    how: dict[str, Any] = {"observe": {"chains": ["1:mask=missing"], "samples": 4}}
    sampled = quietly([holes, other], **how)
    std = sampled.maps["std"]
    assert std.shape == (H, W)
    assert std.dtype == np.float32
    assert std[~hole].mean() < 0.3
    assert std[hole].mean() > 5 * std[~hole].mean()
    # The picture is that of the estimate, however sure that is.
    plain = quietly([holes, other], observe=["1:mask=missing"])
    assert np.array_equal(sampled.image, plain.image)
    assert sampled.record["run"]["nfe"] >= 5 * 10
    again = quietly([holes, other], recipe=sampled.record["recipe"])
    assert np.array_equal(again.maps["std"], std)
    otherwise = quietly([holes, other], seed=1, **how)
    assert not np.array_equal(otherwise.maps["std"], std)


def test_one_sample_is_refused() -> None:
    with pytest.raises(UsageError, match="takes 2 or more") as caught:
        quietly([*pair()], observe={"samples": 1})
    assert "\n" not in str(caught.value)


def test_what_a_source_takes_from_the_others_is_a_map() -> None:
    small, sharp = pair()
    joint = quietly([small, sharp], observe={"maps": True})
    taken = joint.maps["taken.1"]
    assert taken.shape == (H, W)
    assert np.abs(taken).max() > 1
    assert np.array_equal(joint.image, quietly([small, sharp]).image)
    alone = quietly([small, sharp], observe={"maps": True, "guided": False})
    assert not alone.maps["taken.1"].any()


def test_maps_are_written_beside_the_result(tmp_path: Path) -> None:
    small, sharp = pair()
    result = quietly([small, sharp], observe={"maps": True, "samples": 2, "levels": 2})
    out = tmp_path / "out.png"
    result.save(out)
    for name in ("std", "taken.1"):
        stored_map = read_picture(tmp_path / f"out.{name}.tif", "own").pixels
        assert np.array_equal(stored_map, result.maps[name])
    assert set(result.record["output"]["maps"]) == {"out.std.tif", "out.taken.1.tif"}
    # They are neither sources of another run nor results to be measured.
    np.save(tmp_path / "mine.std.npy", sharp)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "mine.taken.tif")
    assert [path.name for path in sources_of(tmp_path)] == ["mine.std.npy", "mine.taken.tif"]
    assert set(images_by_stem(tmp_path)) == {"out", "mine.std", "mine.taken"}
    (tmp_path / "mine.std.npy").unlink()
    out.unlink()
    (tmp_path / "out.png.json").unlink()
    result.save(out)  # maps of the same run may be there
    out.unlink()
    (tmp_path / "out.png.json").unlink()
    (tmp_path / "out.std.tif").write_bytes(b"another's")
    with pytest.raises(UsageError, match=r"out\.std\.tif"):
        result.save(out)


def test_sources_of_different_size_are_no_scene_without_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small, sharp = pair()
    with pytest.raises(UsageError, match="source 1: 16x12 pixels, where others have 64x48, are"):
        quietly([small, sharp], observe=False)
    assert quietly([sharp, sharp], observe=False).image.shape == (H, W)
    sources = [str(tmp_path / name) for name in ("ir.npy", "vi.npy")]
    for path, image in zip(sources, (small, sharp), strict=True):
        np.save(path, image)
    flags = ["--estimator", "gaussian", "--weighting", "fixed", "--quiet", "--no-observe"]
    assert main(["run", *sources, "-o", str(tmp_path / "out.png"), *flags]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "--no-observe" in said[0]
