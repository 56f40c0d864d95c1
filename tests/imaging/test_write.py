"""Writing: round trips, what formats cannot hold, and files that appear whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from fusionkit.errors import ImageError, UsageError
from fusionkit.imaging import (
    atomic_write,
    check_destination,
    check_output,
    read_picture,
    write_picture,
    write_text,
)
from fusionkit.imaging import write as write_module

LOSSLESS = {
    ".png": ("uint8", "uint16"),
    ".tif": ("uint8", "uint16", "float16", "float32", "float64"),
    ".TIFF": ("uint16",),
    ".npy": ("uint8", "uint16", "float16", "float32", "float64"),
    ".bmp": ("uint8",),
    ".webp": ("uint8",),
}
ROUND_TRIPS = [
    (extension, dtype, colours, alpha)
    for extension, dtypes in LOSSLESS.items()
    for dtype in dtypes
    for colours in (1, 3)
    for alpha in (False, True)
    if not (alpha and extension == ".bmp")
]


def leftovers(folder: Path, *expected: str) -> list[str]:
    return sorted(set(os.listdir(folder)) - set(expected))


@pytest.mark.parametrize(("extension", "dtype", "colours", "alpha"), ROUND_TRIPS)
def test_round_trip(tmp_path, make, extension, dtype, colours, alpha):
    path = tmp_path / f"a{extension}"
    pixels = make(dtype, colours)
    opacity = make(dtype) if alpha else None
    write_picture(path, pixels, opacity)
    picture = read_picture(path)
    stored = picture.pixels
    if extension == ".webp" and colours == 1:
        assert not picture.is_colour
        stored = stored[..., 0]
    np.testing.assert_array_equal(stored, pixels)
    assert picture.dtype == dtype
    if alpha:
        np.testing.assert_array_equal(picture.alpha, opacity)
    else:
        assert picture.alpha is None
    assert leftovers(tmp_path, path.name) == []


@pytest.mark.parametrize("dtype", ["int16", "uint32", "int8"])
@pytest.mark.parametrize("extension", [".tif", ".npy"])
def test_round_trip_of_other_integers(tmp_path, make, dtype, extension):
    path = tmp_path / f"a{extension}"
    pixels = make(dtype)
    write_picture(path, pixels)
    np.testing.assert_array_equal(read_picture(path, (-1000, 1000)).pixels, pixels)


@pytest.mark.parametrize("colours", [1, 3])
def test_jpeg_is_close_and_keeps_full_chroma(tmp_path, colours):
    ramp = np.add.outer(np.arange(32), np.arange(48)).astype(np.uint8) * 3
    pixels = ramp if colours == 1 else np.dstack([ramp, 255 - ramp, ramp // 2])
    write_picture(tmp_path / "a.JPEG", pixels)
    assert np.abs(read_picture(tmp_path / "a.JPEG").pixels.astype(int) - pixels).max() <= 8
    if colours == 3:
        with Image.open(tmp_path / "a.JPEG") as image:
            assert {layer[1:3] for layer in image.layer} == {(1, 1)}


@pytest.mark.parametrize(("extension", "dtype", "colours", "alpha"), ROUND_TRIPS)
def test_bytes_are_determined_by_the_values(tmp_path, make, extension, dtype, colours, alpha):
    pixels, opacity = make(dtype, colours), make(dtype) if alpha else None
    for name in ("a", "b"):
        write_picture(tmp_path / (name + extension), pixels, opacity)
    one, two = ((tmp_path / (name + extension)).read_bytes() for name in ("a", "b"))
    assert one == two


def test_tiff_tags(tmp_path, make):
    write_picture(tmp_path / "a.tif", make("uint16", 3), make("uint16"))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        page = file.pages[0]
        assert page.photometric.name == "RGB"
        assert [extra.name for extra in page.extrasamples] == ["UNASSALPHA"]
        assert page.compression.name == "ADOBE_DEFLATE"
        assert not {"Software", "DateTime", "ImageDescription"} & {t.name for t in page.tags}


def test_others_can_read_the_16_bit_png(tmp_path, make):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = make("uint16", 3)
    write_picture(tmp_path / "a.png", pixels, icc=profile)
    data = (tmp_path / "a.png").read_bytes()
    np.testing.assert_array_equal(imagecodecs.png_decode(data), pixels)
    with Image.open(tmp_path / "a.png") as image:
        image.verify()
        assert image.info["icc_profile"] == profile


@pytest.mark.parametrize(
    ("extension", "dtype"),
    [
        (".png", "uint8"),
        (".png", "uint16"),
        (".jpg", "uint8"),
        (".tif", "uint8"),
        (".tif", "uint16"),
        (".webp", "uint8"),
    ],
)
def test_profile_round_trip(tmp_path, make, extension, dtype):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write_picture(tmp_path / f"rgb{extension}", make(dtype, 3), icc=profile)
    assert read_picture(tmp_path / f"rgb{extension}").icc == profile
    write_picture(tmp_path / f"grey{extension}", make(dtype), icc=profile)
    assert read_picture(tmp_path / f"grey{extension}").icc is None


# --- checks before computing -------------------------------------------------------------------


@pytest.mark.parametrize("extension", [*LOSSLESS, ".jpg", ".jpeg", ".JPG"])
def test_check_accepts_and_leaves_nothing(tmp_path, extension):
    check_output(tmp_path / f"a{extension}", np.uint8)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("extension", [".gif", "", ".png.bak"])
def test_unknown_extension(tmp_path, extension):
    with pytest.raises(UsageError, match=r"\.png.*\.tif"):
        check_output(tmp_path / f"a{extension}", np.uint8)


@pytest.mark.parametrize(
    ("extension", "dtype", "hint"),
    [
        (".jpg", "uint16", "--depth 8, or use .png, .tif, .tiff, .npy"),
        (".webp", "float32", "--depth 8, or use .tif, .tiff, .npy"),
        (".bmp", "uint16", "--depth 8, "),
        (".png", "float32", "--depth 8 or 16, or use .tif, .tiff, .npy"),
        (".png", "int16", "--depth 8 or 16"),
    ],
)
def test_depth_that_does_not_fit(tmp_path, extension, dtype, hint):
    path = tmp_path / f"a{extension}"
    for attempt in (
        lambda: check_output(path, dtype),
        lambda: write_picture(path, np.zeros((4, 4), dtype)),
    ):
        with pytest.raises(ImageError) as caught:
            attempt()
        assert hint in str(caught.value)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("extension", [".jpg", ".bmp"])
def test_alpha_that_does_not_fit(tmp_path, extension):
    with pytest.raises(ImageError, match=r"alpha channel: use \.png, \.tif, \.tiff, \.webp, \.npy"):
        check_output(tmp_path / f"a{extension}", np.uint8, has_alpha=True)


def test_size_that_does_not_fit(tmp_path):
    check_output(tmp_path / "a.webp", np.uint8, size=(16383, 2))
    with pytest.raises(ImageError, match="20000x2 pixels"):
        check_output(tmp_path / "a.webp", np.uint8, size=(2, 20000))


def test_destination(tmp_path, monkeypatch):
    (tmp_path / "there.png").write_bytes(b"old")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match=r"exists: .*--overwrite"):
        check_output(tmp_path / "there.png", np.uint8)
    check_output(tmp_path / "there.png", np.uint8, overwrite=True)
    assert (tmp_path / "there.png").read_bytes() == b"old"
    with pytest.raises(UsageError, match="is a folder"):
        check_output(tmp_path / "folder.png", np.uint8, overwrite=True)
    with pytest.raises(UsageError, match=r"folder .*nowhere does not exist"):
        check_output(tmp_path / "nowhere" / "a.png", np.uint8)
    with pytest.raises(UsageError, match="does not exist"):
        check_destination(tmp_path / "there.png" / "a.json")
    monkeypatch.chdir(tmp_path)
    check_output("a.png", np.uint8)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX users")
def test_folder_that_may_not_be_written():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        user = os.geteuid()
        if user == 0:  # nothing is forbidden to root
            os.seteuid(65534)
        try:
            with pytest.raises(UsageError, match="cannot be written: Permission denied"):
                check_output(Path(folder) / "a.png", np.uint8)
        finally:
            os.seteuid(user)


# --- whole or not at all -----------------------------------------------------------------------


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_failure_in_the_middle_leaves_nothing(tmp_path, failure, overwrite):
    def fail_half_way():
        with atomic_write(tmp_path / "a.bin", overwrite=overwrite) as file:
            file.write(b"half")
            assert len(os.listdir(tmp_path)) == 1
            raise failure

    with pytest.raises(failure):
        fail_half_way()
    assert leftovers(tmp_path) == []


def test_failure_leaves_the_existing_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail_half_way():
        with atomic_write(path, overwrite=True) as file:
            file.write(b"half")
            file.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path, "a.bin") == []


def test_failing_encoder_leaves_the_existing_file(tmp_path, make, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(write_module, "encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_picture(path, make(), overwrite=True)
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path, "a.png") == []


@pytest.mark.parametrize("step", ["replace", "link"])
def test_interrupted_at_the_very_end(tmp_path, monkeypatch, step):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "a.json", "{}", overwrite=step == "replace")
    assert leftovers(tmp_path) == []


def test_full_disk(tmp_path):
    with (
        pytest.raises(UsageError, match=r"a\.bin: it cannot be written: No space left"),
        atomic_write(tmp_path / "a.bin"),
    ):
        raise OSError(28, "No space left on device")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_kept(tmp_path, monkeypatch, links):
    if not links:
        _forbid_links(monkeypatch)
    path = tmp_path / "a.json"

    def be_overtaken():
        with atomic_write(path) as file:
            file.write(b"mine")
            path.write_bytes(b"theirs")

    with pytest.raises(UsageError, match="exists"):
        be_overtaken()
    assert path.read_bytes() == b"theirs"
    assert leftovers(tmp_path, "a.json") == []


def test_without_hard_links(tmp_path, monkeypatch):
    _forbid_links(monkeypatch)
    write_text(tmp_path / "a.json", "{}")
    assert (tmp_path / "a.json").read_text() == "{}"
    assert leftovers(tmp_path, "a.json") == []


def _forbid_links(monkeypatch):
    def refused(*args):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)


@pytest.mark.parametrize("overwrite", [False, True])
def test_permissions_follow_the_umask(tmp_path, overwrite):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.json", "{}", overwrite=overwrite)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o640


def test_text(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "é\n")
    assert path.read_bytes() == b"\xc3\xa9\n"
    with pytest.raises(UsageError, match="exists"):
        write_text(path, "new")
    write_text(path, "new", overwrite=True)
    assert path.read_bytes() == b"new"


def test_symbolic_link_is_followed(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_text(tmp_path / "link", "a")
    write_text(tmp_path / "link", "b", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "b"


def test_name_as_long_as_the_file_system_takes(tmp_path):
    name = "n" * 251 + ".tif"
    write_picture(tmp_path / name, np.zeros((2, 2), np.uint8))
    assert leftovers(tmp_path) == [name]


@pytest.mark.parametrize(
    ("pixels", "alpha"),
    [
        (np.zeros((4, 4, 2), np.uint8), None),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint16)),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8)),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, pixels, alpha):
    with pytest.raises(ValueError, match=r"shape|fit"):
        write_picture(tmp_path / "a.png", pixels, alpha)
    assert leftovers(tmp_path) == []
