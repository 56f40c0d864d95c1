"""Arrays as sources, and the rules for value ranges."""

from __future__ import annotations

import numpy as np
import pytest

from fusionkit.errors import ImageError, UsageError
from fusionkit.imaging import picture_from_array, read_picture


@pytest.mark.parametrize(
    ("channels", "layout"), [(1, "grey"), (2, "grey+alpha"), (3, "rgb"), (4, "rgb+alpha")]
)
def test_layouts(make, channels, layout):
    samples = make("uint16", channels)
    last = picture_from_array(samples, "source 1")
    assert last.layout == layout
    assert last.shape == (7, 9)
    first = picture_from_array(np.moveaxis(np.atleast_3d(samples), -1, 0), "a", channels_first=True)
    np.testing.assert_array_equal(first.pixels, last.pixels)
    assert (first.alpha is None) == (channels in (1, 3))


def test_one_channel_axis_is_dropped(make):
    assert picture_from_array(make()[..., None], "a").pixels.shape == (7, 9)


def test_the_caller_keeps_the_array(make):
    samples = make()
    picture = picture_from_array(samples, "a")
    before = picture.pixels.copy()
    samples[:] = 0
    np.testing.assert_array_equal(picture.pixels, before)


@pytest.mark.parametrize("shape", [(5,), (3, 8, 8), (4, 4, 5), (2, 4, 4, 3), (4, 4, 0)])
def test_shapes_that_are_no_image(shape):
    with pytest.raises(ImageError, match="source 2: an array of shape"):
        picture_from_array(np.zeros(shape), "source 2")


def test_channels_first_is_suggested():
    with pytest.raises(ImageError, match="channels_first=True"):
        picture_from_array(np.zeros((3, 8, 8)), "a")


@pytest.mark.parametrize("dtype", [bool, complex, object, "datetime64[s]", "U3"])
def test_types_that_are_no_image(dtype):
    with pytest.raises(ImageError, match="a: values of type"):
        picture_from_array(np.zeros((4, 4), dtype), "a")


def test_masks_get_a_hint():
    with pytest.raises(ImageError, match="uint8 0 and 255"):
        picture_from_array(np.zeros((4, 4), bool), "a")


@pytest.mark.parametrize(
    ("dtype", "top"),
    [("uint8", 255), ("uint16", 65535), ("float16", 1), ("float32", 1), ("float64", 1)],
)
def test_unit_by_convention(make, dtype, top):
    samples = make(dtype, 3)
    unit = picture_from_array(samples, "a").unit()
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit, samples.astype(np.float64) / top, atol=1e-7)


@pytest.mark.parametrize("dtype", ["int16", "uint32", "int8", "int64"])
def test_other_integers_need_a_range(make, dtype):
    samples = make(dtype)
    with pytest.raises(ImageError, match=r"--range 2:LO,HI"):
        picture_from_array(samples, "a", index=1)
    low, high = float(samples.min()), float(samples.max())
    unit = picture_from_array(samples, "a", (low, high)).unit()
    assert (unit.min(), unit.max()) == (0, 1)


def test_floats_outside_the_unit_interval():
    samples = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    picture = picture_from_array(samples * 1.0005, "a")
    assert picture.unit().max() == 1
    for bad in (samples * 255, samples - 0.01):
        with pytest.raises(ImageError, match=r"not from 0 to 1.*--range K:LO,HI"):
            picture_from_array(bad, "a")
    assert picture_from_array(samples * 255, "a", (0, 255)).unit().max() == 1


def test_explicit_range_clips_and_counts():
    samples = np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)
    picture = picture_from_array(samples, "a", (0, 4095))
    assert picture.notes == ()
    assert picture.explicit_range
    np.testing.assert_allclose(picture.unit(), samples / 4095, atol=1e-7)
    samples[0, 0] = 4096
    said = picture_from_array(samples, "a", (0, 4094)).notes
    assert said == ("a: 2 pixels lie outside the range 0,4094 and are clipped",)
    said = picture_from_array(samples, "a", (0, 4095)).notes
    assert said == ("a: 1 pixel lies outside the range 0,4095 and is clipped",)
    samples[0, :5] = 4096
    picture = picture_from_array(np.dstack([samples] * 3), "a", (0, 4095))
    assert picture.notes == ("a: 5 pixels lie outside the range 0,4095 and are clipped",)
    assert picture.unit().max() == 1


@pytest.mark.parametrize("bounds", [(1, 1), (2, 1), (0, np.inf), (np.nan, 1)])
def test_range_must_ascend(make, bounds):
    with pytest.raises(UsageError, match="LO below HI"):
        picture_from_array(make(), "a", bounds)


@pytest.mark.parametrize(("span", "noted"), [(0, True), (31, True), (32, False), (255, False)])
def test_low_use_of_the_range_is_noted(span, noted):
    samples = np.full((4, 4), 0, np.uint8)
    samples[0, 0] = span
    note = picture_from_array(samples, "a", index=0).narrow_note
    assert (note is not None) == noted
    if note is not None:
        assert "--range 1:LO,HI, or --stretch 1" in note


def test_twelve_bits_taken_for_sixteen_are_noted():
    samples = np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)
    assert "0 to 4095" in picture_from_array(samples, "a").narrow_note


def test_stretch(make):
    samples = (make("uint16", 3) // 64 + 100).astype(np.uint16)
    picture = picture_from_array(samples, "a", "own")
    assert picture.stretched
    unit = picture.unit()
    assert (unit.min(), unit.max()) == (0, 1)
    assert (picture.low, picture.high) == (samples.min(), samples.max())
    assert picture.narrow_note is None
    flat = picture_from_array(np.full((4, 4), 7, np.uint8), "a", "own").unit()
    assert (flat == 0).all()


@pytest.mark.parametrize("dtype", ["int16", "int8", "uint32", "float32", "float64"])
def test_stretch_needs_no_convention(dtype):
    samples = np.linspace(-20, 100, 64).reshape(8, 8)
    samples = (samples + 20 if dtype == "uint32" else samples).astype(dtype)
    unit = picture_from_array(samples, "degrees", "own").unit()
    expected = (samples - samples.min()) / np.ptp(samples.astype(float))
    np.testing.assert_allclose(unit, expected, atol=1e-6)


def test_colour_is_a_matter_of_content(make):
    grey = make()
    picture = picture_from_array(np.dstack([grey] * 3), "a")
    assert not picture.is_colour
    assert picture.layout == "rgb"
    tinted = np.dstack([grey] * 3)
    tinted[3, 3, 2] ^= 1
    assert picture_from_array(tinted, "a").is_colour


@pytest.mark.parametrize("value", [-0.5, 1.5])
def test_alpha_outside_its_scale(rng, value):
    samples = rng.random((4, 4, 4))
    samples[1, 1, 3] = value
    with pytest.raises(ImageError, match="alpha goes from"):
        picture_from_array(samples, "a")


def test_range_does_not_concern_alpha(make):
    samples = make("uint8", 4)
    picture = picture_from_array(samples, "a", (64, 192))
    np.testing.assert_array_equal(picture.alpha, samples[..., 3])


def test_range_applies_to_files_too(tmp_path, make):
    np.save(tmp_path / "a.npy", make("int16"))
    with pytest.raises(ImageError, match=r"--range 3:LO,HI"):
        read_picture(tmp_path / "a.npy", index=2)
    picture = read_picture(tmp_path / "a.npy", (-32768, 32767), index=2)
    assert (picture.low, picture.high) == (-32768, 32767)


def test_eight_bits_are_those_stored_or_the_range():
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(picture_from_array(stored, "a").eight_bit(), stored)
    deep = picture_from_array(stored.astype(np.uint16) * 257, "a").eight_bit()
    assert deep.dtype == np.uint8
    assert np.array_equal(deep, stored)
    narrow = picture_from_array(stored, "a", (50, 101)).eight_bit()
    assert (narrow[0, 0], narrow.reshape(-1)[60], narrow[-1, -1]) == (0, 50, 255)
