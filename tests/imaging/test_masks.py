"""What a source does not show is filled by the others, and left to them."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from fusionkit.errors import ImageError
from fusionkit.imaging import left_to_one, picture_from_array, plan_colour, read_picture, shown_by
from fusionkit.imaging.masks import filled

SIZE = (40, 50)


@pytest.fixture
def two(rng):
    """A smooth bright source and a dark one with texture, (2, H, W) in [0, 1]."""
    columns = np.linspace(0, 1, SIZE[1])
    bright = np.broadcast_to(0.7 + 0.2 * columns, SIZE)
    dark = 0.2 + 0.05 * rng.random(SIZE)
    return np.stack([bright, dark]).astype(np.float32)


def hole(rows=slice(10, 30), columns=slice(15, 40)):
    shown = np.ones((2, *SIZE), bool)
    shown[0, rows, columns] = False
    return shown


# --- reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 3])
def test_nan_is_a_mask(make, bad, channels):
    samples = make("float32", channels)
    samples[2, 3] = bad
    if channels == 3:
        samples[2, 4, 1] = bad  # one channel is enough
    picture = picture_from_array(samples, "a", masks=True)
    hidden = 1 if channels == 1 else 2
    assert (~picture.mask).sum() == hidden
    assert np.isfinite(picture.pixels).all()
    said = (
        "1 pixel is NaN or infinite: it does"
        if hidden == 1
        else ("2 pixels are NaN or infinite: they do")
    )
    assert picture.notes == (f"a: {said} not count",)
    whole = np.delete(samples.reshape(63, -1), np.flatnonzero(~picture.mask), axis=0)
    np.testing.assert_allclose(picture.pixels[2, 3], whole.mean(axis=0), rtol=1e-5)
    with pytest.raises(ImageError, match=r"pixels? (is|are) NaN or infinite: replace (it|them)"):
        picture_from_array(samples, "a")


def test_what_is_masked_has_no_say_in_the_range(make):
    samples = make("float32") * 40 - 5
    samples[0] = np.nan
    picture = picture_from_array(samples, "a", "own", masks=True)
    assert (picture.low, picture.high) == (samples[1:].min(), samples[1:].max())
    unit = picture.unit()[1:]
    assert (unit.min(), unit.max()) == (0, 1)


def test_nothing_but_nan(make):
    with pytest.raises(ImageError, match="all pixels are NaN or infinite"):
        picture_from_array(np.full((4, 4), np.nan), "a", masks=True)


@pytest.mark.parametrize(
    ("dtype", "declared", "value"),
    [
        ("float32", "-9999", -9999),
        ("float32", "-3.4028234663852886e+38", np.finfo("f4").min),
        ("float64", "nan", np.nan),
        ("int16", "-32768", -32768),
        ("uint16", "0", 0),
        ("uint8", " 255 ", 255),
    ],
)
def test_declared_no_data_is_a_mask(tmp_path, make, dtype, declared, value):
    samples = (make("uint8").clip(3, 250)).astype(dtype)
    samples[:2, :3] = value
    tags = [(42113, "s", 0, declared, True)]
    tifffile.imwrite(tmp_path / "a.tif", samples, extratags=tags, metadata=None)
    picture = read_picture(tmp_path / "a.tif", "own", masks=True)
    assert (~picture.mask).sum() == 6
    assert not picture.mask[:2, :3].any()
    assert 3 <= picture.low < picture.high <= 250
    with pytest.raises(ImageError, match="6 pixels"):
        read_picture(tmp_path / "a.tif", "own")


@pytest.mark.parametrize("declared", ["-9999", "1e400", "x", "", "0.5"])
def test_no_data_that_no_pixel_can_be(tmp_path, make, declared):
    samples = make("uint8")
    tifffile.imwrite(tmp_path / "a.tif", samples, extratags=[(42113, "s", 0, declared, True)])
    picture = read_picture(tmp_path / "a.tif", masks=True)
    assert picture.mask is None
    assert np.array_equal(picture.pixels, samples)


def test_a_colour_is_no_data_in_all_channels(tmp_path, make):
    samples = make("uint8", 3)
    samples[samples == 7] = 8
    samples[1, 1], samples[1, 2] = (7, 7, 7), (7, 7, 9)
    tags = [(42113, "s", 0, "7", True)]
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", extratags=tags)
    picture = read_picture(tmp_path / "a.tif", masks=True)
    assert np.argwhere(~picture.mask).tolist() == [[1, 1]]


def test_a_mask_is_turned_with_its_pixels(tmp_path, make):
    samples = make("float32")
    samples[0, 1] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", samples, extratags=[(274, "H", 1, 6, True)])
    picture = read_picture(tmp_path / "a.tif", masks=True)
    assert np.argwhere(~picture.mask).tolist() == [[1, 6]]


# --- filling ---------------------------------------------------------------------------------


def test_what_is_shown_stays(two):
    shown = hole()
    result = filled(two, shown)
    assert np.array_equal(result[shown], two[shown])


def test_a_hole_shows_no_edge_and_then_the_other_source(two):
    spoiled = two.copy()
    shown = hole()
    spoiled[~shown] = 0.5
    result = filled(spoiled, shown)
    # At the edge it goes on at the level of the source; the texture is the other's.
    step = np.abs(result[0, 10, 15:40] - result[0, 9, 15:40])
    assert step.max() < 0.12
    np.testing.assert_allclose(result[0, 18:22, 23:32], two[1, 18:22, 23:32], atol=1e-6)
    assert result.min() >= 0
    assert result.max() <= 1


def test_what_nobody_shows_is_smooth(two):
    shown = hole()
    shown[1] = shown[0]
    result = filled(two, shown)
    assert np.isfinite(result).all()
    for source, original in zip(result, two, strict=True):
        inside = source[11:29, 16:39]
        assert np.abs(np.diff(inside, axis=0)).max() < 0.05
        assert original.min() - 0.01 <= inside.min() <= inside.max() <= original.max() + 0.01


def test_many_sources_are_filled_by_the_mean_of_the_others(rng):
    luma = rng.random((4, *SIZE)).astype(np.float32)
    shown = np.ones((4, *SIZE), bool)
    shown[:2, 10:35, 10:40] = False
    result = filled(luma, shown)
    mean = luma[2:].mean(axis=0)
    for source in result[:2]:
        np.testing.assert_allclose(source[19:26, 19:31], mean[19:26, 19:31], atol=1e-6)


# --- what one source alone shows ----------------------------------------------------------------


def test_left_to_one(two):
    shown = hole()
    fused = two.mean(axis=0)
    result = left_to_one(fused, two, shown)
    outside = shown[0]
    assert np.array_equal(result[outside], fused[outside])
    np.testing.assert_allclose(result[14:26, 19:36], two[1, 14:26, 19:36], atol=1e-6)
    # One pixel inside it is the fused image still, and from there on less and less so.
    np.testing.assert_allclose(result[10, 20:35], fused[10, 20:35], atol=1e-6)
    share = (result[10:16, 25] - fused[10:16, 25]) / (two[1] - fused)[10:16, 25]
    np.testing.assert_allclose(share, [0, 0.25, 0.5, 0.75, 1, 1], atol=1e-4)
    both = np.ones_like(shown)
    assert left_to_one(fused, two, both) is fused


def test_chroma_comes_from_those_that_show_something(rng):
    sources = [rng.random((*SIZE, 3)).astype(np.float32) for _ in range(2)]
    pictures = [picture_from_array(samples, "a") for samples in sources]
    shown = hole()
    weights = np.stack([np.ones(SIZE), np.zeros(SIZE)])
    inside = ~shown[0]
    for rule in ("weights", "distance"):
        plan = plan_colour(pictures, rule, shown)
        result = plan.attach(plan.luma[1], weights)
        np.testing.assert_allclose(result[inside], sources[1][inside], atol=1e-5)
    # Where the only source in colour shows nothing, there is no colour.
    only = plan_colour(pictures, "1", shown)
    result = only.attach(only.luma[1])
    assert np.ptp(result[inside], axis=-1).max() == 0
    assert np.ptp(result[~inside], axis=-1).max() > 0.1
    # In parts it is the same.
    part = plan.part((slice(5, 20), slice(None)))
    np.testing.assert_array_equal(part.attach(plan.luma[1, 5:20]), plan.attach(plan.luma[1])[5:20])


def test_masks_and_transparency_go_together(make):
    samples = make("float32")
    samples[0, 0] = np.nan
    pictures = [picture_from_array(each, "a", masks=True) for each in (samples, make("float32"))]
    assert shown_by(pictures[1:], None) is None
    shown = shown_by(pictures, None)
    assert not shown[0, 0, 0]
    assert shown.sum() == 2 * 63 - 1
    opaque = np.ones((2, 7, 9), bool)
    opaque[1, 6, 8] = False
    assert np.array_equal(shown_by(pictures, opaque), shown & opaque)
