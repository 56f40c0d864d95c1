"""Colour profiles: sources are converted to the first's, with a note, and the result says which."""

from __future__ import annotations

import struct
import warnings
import zlib
from io import BytesIO

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

import fusionkit
from fusionkit.imaging import in_one_profile, plan_colour, read_picture, write_picture
from fusionkit.imaging.profiles import SRGB_PRIMARIES, profile_of, srgb_profile

ADOBE = bytes(imagecodecs.cms_profile("adobergb"))
DARK_GREY = bytes(imagecodecs.cms_profile("gray", gamma=1.8))
LIGHT_GREY = bytes(imagecodecs.cms_profile("gray", gamma=2.2))
PILLOW_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PILLOW_SRGB = PILLOW_SRGB[:24] + bytes(12) + PILLOW_SRGB[36:]  # of another date


@pytest.fixture
def stored(tmp_path, rng):
    """Write an image with a profile and read it; smooth colours inside both gamuts."""

    def make(name, icc=None, dtype="uint8", grey=False):
        top = np.iinfo(dtype).max
        base = np.linspace(0.4, 0.65, 12 * 16).reshape(12, 16)
        rgb = np.dstack([base, base[::-1], base[:, ::-1]])
        pixels = np.rint((base if grey else rgb) * top).astype(dtype)
        write_picture(tmp_path / name, pixels, icc=icc)
        return read_picture(tmp_path / name)

    return make


def by_pillow(pixels, profile, target):
    image = ImageCms.profileToProfile(
        Image.fromarray(pixels), BytesIO(profile), BytesIO(target), renderingIntent=1
    )
    return np.asarray(image).astype(int)


def test_the_second_is_converted_to_the_profile_of_the_first(stored):
    first, second = stored("a.png", ADOBE), stored("b.png", srgb_profile())
    one, two = in_one_profile([first, second])
    assert one is first or np.array_equal(one.pixels, first.pixels)
    assert one.icc == two.icc == ADOBE
    expected = by_pillow(second.pixels, srgb_profile(), ADOBE)
    assert np.abs(two.pixels.astype(int) - expected).max() <= 1
    assert np.abs(two.pixels.astype(int) - second.pixels).max() > 5
    assert one.notes == ()
    (note,) = two.notes
    assert note.startswith(second.name)
    assert "sRGB" in note
    assert "Adobe RGB" in note
    assert first.name in note
    plan = plan_colour([one, two])
    assert plan.icc == ADOBE
    assert "Adobe RGB" in plan.record()["profile"]


def test_sixteen_bits_stay_sixteen_bits(stored):
    first, second = stored("a.tif", ADOBE, "uint16"), stored("b.tif", srgb_profile(), "uint16")
    two = in_one_profile([first, second])[1]
    assert two.dtype == np.uint16
    coarse = by_pillow((second.pixels // 257).astype(np.uint8), srgb_profile(), ADOBE)
    assert np.abs(two.pixels / 257 - coarse).max() < 1.5
    assert len(np.unique(two.pixels % 257)) > 50
    back = in_one_profile([stored("c.tif", srgb_profile(), "uint16"), two])[1]
    assert np.abs(back.pixels.astype(int) - second.pixels).max() <= 3


def test_colour_without_a_profile_is_taken_for_srgb(stored):
    tagged, bare = stored("a.png", ADOBE), stored("b.png")
    one, two = in_one_profile([tagged, bare])
    assert two.icc == ADOBE
    assert "from sRGB" in two.notes[0]
    one, two = in_one_profile([bare, tagged])
    assert one.icc is two.icc is None
    assert two.notes[0].endswith("to sRGB")
    assert np.abs(two.pixels - by_pillow(tagged.pixels, ADOBE, srgb_profile())).max() <= 1


def test_profiles_that_say_the_same_need_no_conversion(stored):
    assert srgb_profile() != PILLOW_SRGB
    pictures = [stored("a.png", PILLOW_SRGB), stored("b.png", srgb_profile()), stored("c.png")]
    for before, after in zip(pictures, in_one_profile(pictures), strict=True):
        assert np.array_equal(before.pixels, after.pixels)
        assert after.notes == ()
        assert after.icc == PILLOW_SRGB


def test_a_grey_source_without_a_profile_says_nothing_of_its_tones(stored):
    infrared, visible = stored("ir.png", grey=True), stored("vi.png", ADOBE)
    one, two = in_one_profile([infrared, visible])
    assert np.array_equal(one.pixels, infrared.pixels)
    assert one.notes == two.notes == ()
    assert plan_colour([one, two]).icc == ADOBE


def test_a_tinted_infrared_image_is_not_the_first_in_colour(stored, tmp_path):
    grey = stored("ir.png", grey=True).pixels
    write_picture(tmp_path / "ir3.png", np.dstack([grey + 2, grey, grey]))
    pictures = in_one_profile([read_picture(tmp_path / "ir3.png"), stored("vi.png", ADOBE)])
    assert plan_colour(pictures).icc == ADOBE


@pytest.mark.parametrize("layers", [1, 3])
def test_grey_tones(stored, tmp_path, layers):
    first, second = stored("a.png", DARK_GREY, grey=True), stored("b.png", LIGHT_GREY, grey=True)
    one, two = in_one_profile([first, second])
    assert two.icc == DARK_GREY
    darker = 255 * (second.pixels / 255) ** (2.2 / 1.8)
    assert np.abs(two.pixels - darker).max() < 1.5
    assert plan_colour([one, two]).icc == DARK_GREY
    # Beside colour, in its tones: the greys of sRGB.
    vi = stored("vi.png", srgb_profile())
    if layers == 3:
        write_picture(tmp_path / "g.tif", np.dstack([second.pixels] * 3), icc=ADOBE)
        second = read_picture(tmp_path / "g.tif")
    two = in_one_profile([vi, second])[1]
    assert two.pixels.shape == second.pixels.shape
    assert not two.is_colour
    assert 0 < np.abs(two.pixels.astype(int) - second.pixels).max() < 8
    assert "converted" in two.notes[0]


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("flaw", ["cut", "zeros", "wrong channels"])
def test_a_profile_that_cannot_be_used_is_left_out_with_a_note(stored, tmp_path, at, flaw):
    broken = {
        "cut": ADOBE[:300],
        "zeros": ADOBE[:128] + bytes(len(ADOBE) - 128),
        "wrong channels": ADOBE[:16] + b"CMYK" + ADOBE[20:],
    }[flaw]
    good = stored("b.png", srgb_profile())
    # Pillow writes whatever profile it is given.
    Image.fromarray(good.pixels).save(tmp_path / "bad.png", icc_profile=broken)
    pictures = [good, good]
    pictures[at] = read_picture(tmp_path / "bad.png")
    after = in_one_profile(pictures)
    assert np.array_equal(after[at].pixels, pictures[at].pixels)
    (note,) = after[at].notes
    assert "profile" in note
    assert "left out" in note


def test_through_a_fusion(stored, tmp_path):
    first, second = stored("a.png", ADOBE), stored("b.png", srgb_profile())
    names = [first.name, second.name]
    with pytest.warns(fusionkit.FusionkitWarning, match="converted from its colour profile"):
        result = fusionkit.fuse(names, task="multi-focus")
    assert any("converted" in note for note in result.record["warnings"])
    result.save(tmp_path / "o.png")
    assert read_picture(tmp_path / "o.png").icc == ADOBE
    # The same colours, each described in its own way, are the same scene.
    write_picture(tmp_path / "c.png", by_pillow(first.pixels, ADOBE, PILLOW_SRGB).astype("uint8"))
    with warnings.catch_warnings(record=True):
        same = fusionkit.fuse([first.name, str(tmp_path / "c.png")], task="multi-focus").image
    assert np.abs(same.astype(int) - first.pixels).max() <= 2


# --- what PNG says of its colours without a profile ---------------------------------------------

SRGB_CORNERS = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
ADOBE_CORNERS = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)


@pytest.fixture
def described(tmp_path):
    """Write a PNG of some pixels with chunks behind its header, and read it."""

    def make(pixels, name="described.png", **chunks):
        path = tmp_path / name
        write_picture(path, pixels, overwrite=True)
        data, added = path.read_bytes(), b""
        for kind, content in chunks.items():
            body = kind.encode() + content
            added += struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
        path.write_bytes(data[:33] + added + data[33:])
        return read_picture(path)

    return make


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("grey", [False, True])
def test_linear_light_is_converted(described, rng, dtype, grey):
    tones = rng.random((24, 24, 3)) if not grey else rng.random((24, 24))
    light = np.where(tones <= 0.04045, tones / 12.92, ((tones + 0.055) / 1.055) ** 2.4)
    top = np.iinfo(dtype).max
    linear = described(np.rint(light * top).astype(dtype), gAMA=struct.pack(">I", 100_000))
    usual = described(np.rint(rng.random((24, 24, 3)) * 255).astype(np.uint8), "usual.png")
    _, converted = in_one_profile([usual, linear])
    step = 13 / 255 if dtype == np.uint8 else 0.002  # 8 bits of light are coarse in the dark
    assert np.abs(converted.unit() - tones).max() <= step
    assert "to sRGB" in converted.notes[0]


@pytest.mark.parametrize("gamma", [None, 45455, 100_000])
def test_primaries_of_adobe_are_converted(described, rng, gamma):
    pixels = np.rint(60 + 120 * rng.random((16, 16, 3))).astype(np.uint8)
    chunks = {"cHRM": struct.pack(">8I", *ADOBE_CORNERS)}
    if gamma:
        chunks["gAMA"] = struct.pack(">I", gamma)
    picture = described(pixels, **chunks)
    _, converted = in_one_profile([described(pixels[::-1], "usual.png"), picture])
    assert np.abs(converted.pixels.astype(int) - pixels).max() > 5
    if gamma != 100_000:
        expected = by_pillow(pixels, ADOBE, srgb_profile())
        assert np.abs(converted.pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    "chunks",
    [
        {"gAMA": struct.pack(">I", 45455)},
        {"gAMA": struct.pack(">I", 45455), "cHRM": struct.pack(">8I", *SRGB_CORNERS)},
        {"sRGB": b"\0", "gAMA": struct.pack(">I", 100_000)},
        {"gAMA": bytes(4)},
        {"gAMA": b"\xff\xff\xff\xff"},
        {"gAMA": b"\1"},
        {"cHRM": bytes(32)},
        {"cHRM": struct.pack(">8I", *[31270, 32900] * 4)},
        {"cICP": b"\x01\x0d\0\1"},
    ],
)
def test_what_says_srgb_or_nothing_is_left_as_it_is(described, rng, chunks):
    picture = described(rng.integers(0, 255, (8, 8, 3)).astype(np.uint8), **chunks)
    assert picture.icc is None
    assert picture.notes == ()


def test_a_profile_counts_before_other_chunks(described, rng):
    packed = b"x\0\0" + zlib.compress(ADOBE)
    pixels = rng.integers(0, 255, (8, 8, 3)).astype(np.uint8)
    picture = described(pixels, gAMA=struct.pack(">I", 100_000), iCCP=packed)
    assert picture.icc == ADOBE


def test_colours_that_are_not_converted_are_said(described, rng):
    pixels = rng.integers(0, 255, (8, 8, 3)).astype(np.uint8)
    picture = described(pixels, cICP=bytes([9, 16, 0, 1]))
    assert "cICP" in picture.notes[0]


def test_a_profile_that_is_made_has_no_date():
    """The clock is in no bytes that are written."""
    made = profile_of(3, 1.0, SRGB_PRIMARIES)
    assert made is not None
    assert struct.unpack(">6H", made[24:36]) == (2000, 1, 1, 0, 0, 0)
    assert ImageCms.ImageCmsProfile(BytesIO(made)).profile.xcolor_space.strip() == "RGB"
