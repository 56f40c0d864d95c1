"""Every problem with a file is one line that names it, says what is wrong, and what to do."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile

from fusionkit.errors import ImageError, UsageError
from fusionkit.imaging import read_picture

from .raw_files import (
    bmp_of_runs,
    encoded,
    npy,
    patched_bmp_or_jpeg,
    png,
    png16,
    png_chunk,
    tiff,
)


@pytest.fixture
def photo(rng) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))


def test_missing(refusal):
    assert "no such file" in refusal(None)


def test_the_path_is_named_as_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageError, match=r"^\./a\.png: "):
        read_picture("./a.png")


def test_folder(refusal, tmp_path):
    (tmp_path / "folder").mkdir()
    assert "folder" in refusal(None, "folder")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipe(refusal, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "regular file" in refusal(None, "pipe")


def test_null_byte():
    with pytest.raises(ImageError, match="not a path"):
        read_picture("a\0b.png")


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX users")
def test_permission():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "secret.png"
        path.write_bytes(b"x")
        path.chmod(0)
        os.chmod(folder, 0o755)
        user = os.geteuid()
        if user == 0:  # nothing is forbidden to root
            os.seteuid(65534)
        try:
            with pytest.raises(ImageError, match="permissions"):
                read_picture(path)
        finally:
            os.seteuid(user)


def test_empty(refusal):
    assert "empty" in refusal(b"")


def test_text_named_png(refusal):
    message = refusal(b"this is no image\n")
    assert "supported" in message
    assert "PNG, JPEG, BMP, TIFF, WebP, NPY" in message


def test_other_format(refusal, photo):
    message = refusal(encoded(photo, "GIF"))
    assert "GIF files are not supported" in message
    assert "PNG, JPEG, BMP, TIFF, WebP, NPY" in message


def test_every_truncation_of_a_png(refusal, rng):
    data = png16(rng.integers(0, 65536, (4, 5, 3), dtype=np.uint16))
    for length in range(8, len(data), 5):
        assert "PNG file is damaged or truncated" in refusal(data[:length])


@pytest.mark.parametrize("kind", [b"IHDR", b"tRNS", b"IDAT"])
def test_png_with_an_altered_chunk(refusal, rng, kind):
    rows = [bytes(rng.integers(0, 256, 4, dtype=np.uint8)) for _ in range(4)]
    data = bytearray(png(4, 4, 8, 0, rows, (b"tRNS", b"\0\1")))
    data[data.index(kind) + 4] ^= 1
    assert f"checksum of its {kind.decode()!r} chunk" in refusal(bytes(data))


def test_png_with_too_few_rows(refusal):
    assert "damaged" in refusal(png(4, 4, 8, 0, [bytes(4)] * 3))


@pytest.mark.parametrize("image_format", ["JPEG", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("lenient", [False, True])
def test_truncated(refusal, photo, monkeypatch, image_format, part, lenient):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    data = encoded(photo, image_format)
    assert "damaged or truncated" in refusal(data[: max(20, int(len(data) * part))])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is lenient


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "jpeg", "zstd", "packbits"])
@pytest.mark.parametrize("rows", [None, 16])
def test_truncated_tiff(refusal, photo, compression, rows):
    data = tiff(np.asarray(photo), photometric="rgb", compression=compression, rowsperstrip=rows)
    for length in (60, 200, len(data) // 2, len(data) - 1):
        message = refusal(data[:length], "bad.tif")
        assert "TIFF file is damaged or truncated" in message


def test_tifffile_logs_nothing(refusal, photo, caplog):
    caplog.set_level(logging.DEBUG)
    data = tiff(np.asarray(photo), rowsperstrip=8, photometric="rgb", compression="zlib")[:200]
    with contextlib.suppress(tifffile.TiffFileError), tifffile.TiffFile(io.BytesIO(data)) as file:
        file.pages[0].asarray()
    assert caplog.records, "it does log when asked directly"
    caplog.clear()
    refusal(data)
    assert not caplog.records


def test_tiff_whose_pages_go_in_a_circle(refusal, rng):
    data = bytearray(tiff(rng.integers(0, 256, (8, 8), dtype=np.uint8), metadata=None))
    (first,) = struct.unpack_from("<I", data, 4)
    (tags,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * tags, first)
    assert "round in a circle" in refusal(bytes(data))


def test_missing_strip(refusal, photo):
    data = bytearray(tiff(np.asarray(photo), photometric="rgb", rowsperstrip=64))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at = file.pages[0].tags["StripOffsets"].valueoffset
    data[at : at + 4] = bytes(4)
    assert "damaged" in refusal(bytes(data))


def test_truncated_npy(refusal, rng):
    data = npy(rng.random((8, 8)))
    for length in (7, 9, 40, len(data) - 1):
        assert "NPY file is damaged or truncated" in refusal(data[:length], "bad.npy")


@pytest.mark.parametrize(
    ("samples", "content"),
    [
        (np.array([[1, None]] * 2), "Python objects"),
        (np.zeros((2, 2), "u1,u1"), "records"),
        (np.zeros((2, 2), "U3"), "text"),
        (np.zeros((2, 2), "M8[s]"), "dates"),
        (np.zeros((2, 2), "c8"), "complex values"),
    ],
)
def test_npy_of_no_numbers(refusal, samples, content):
    assert f"it holds {content}, not numbers" in refusal(npy(samples))


@pytest.mark.parametrize("shape", [b"(2**9, 4)", b"(9,\n (, 4)"])
def test_npy_header_that_is_no_literal(refusal, shape):
    data = npy(np.zeros((20, 24))).replace(b"(20, 24)", shape).replace(b"  \n", b"\n", 1)
    assert "NPY file is damaged or truncated (its header is malformed)" in refusal(data)


def test_png_whose_palette_or_transparency_would_be_read_in_part(refusal):
    """libpng makes black what has no colour, and opaque what it does not understand."""
    palette, rows = (b"PLTE", bytes(range(6))), [b"\0\1", b"\1\0"]
    for bits, packed in ((8, [b"\0\2", b"\1\1"]), (4, [b"\x02", b"\0"]), (2, [b"\xc0", b"\0"])):
        said = refusal(png(2, 2, bits, 3, packed, palette))
        assert "its pixels name more colours than the 2 of its palette" in said
    assert "(it has no palette)" in refusal(png(2, 2, 8, 3, rows))
    early = refusal(png(2, 2, 8, 3, rows, (b"tRNS", b"\7"), palette))
    assert "its tRNS chunk is out of place" in early
    grey = png(2, 2, 8, 0, rows)
    late = grey.replace(grey[-12:], png_chunk(b"tRNS", b"\0\0") + grey[-12:])
    assert "its tRNS chunk is out of place" in refusal(late)
    assert "its tRNS chunk has 3 bytes, not 2" in refusal(
        png(2, 2, 8, 0, rows, (b"tRNS", b"\0\0\0"))
    )
    rgb = [b"123456"] * 2
    assert "its tRNS chunk has 2 bytes, not 6" in refusal(png(2, 2, 8, 2, rgb, (b"tRNS", b"\0\1")))


def test_bmp_of_more_colours_than_its_palette(refusal):
    file = io.BytesIO()
    image = Image.frombytes("P", (2, 2), bytes([0, 1, 2, 1]))
    image.putpalette([9, 8, 7, 6, 5, 4, 3, 2, 1])
    image.save(file, "BMP")
    bitmap = bytearray(file.getvalue())
    bitmap[-4] = 3
    said = refusal(bytes(bitmap), "bad.bmp")
    assert "its pixels name more colours than the 3 of its palette" in said


def test_npy_pickle_is_never_run(refusal, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    refusal(npy(np.array([[Trap()] * 2] * 2)))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("shape", [(4,), (4, 4, 5), (3, 8, 8), (2, 3, 4, 3), (4, 4, 0)])
def test_npy_shapes(refusal, shape):
    message = refusal(npy(np.zeros(shape, np.uint8)))
    assert "not an image" in message
    if shape == (3, 8, 8):
        assert "move the channels last" in message


def huge_npy(rows: int = 50000) -> bytes:
    file = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (rows, rows)}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def huge_tiff(photo) -> bytes:
    data = bytearray(tiff(np.zeros((70000, 2), np.uint8), compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = file.pages[0].tags
        at = [tags[name].valueoffset for name in ("ImageWidth", "ImageLength")]
    data[at[0] : at[0] + 2] = struct.pack("<H", 50000)
    data[at[1] : at[1] + 4] = struct.pack("<I", 50000)
    return bytes(data)


HUGE = {
    "PNG": lambda photo: png(50000, 50000, 8, 0, [b""]),
    "PNG16": lambda photo: png(50000, 50000, 16, 2, [b""]),
    "JPEG": lambda photo: patched_bmp_or_jpeg(encoded(photo, "JPEG"), 50000, 50000),
    "BMP": lambda photo: patched_bmp_or_jpeg(encoded(photo, "BMP"), 50000, 50000),
    "WebP": lambda photo: (
        b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + struct.pack("<I", 49999)[:3] * 2 + bytes(40)
    ),
    "NPY": lambda photo: huge_npy(),
    "TIFF": huge_tiff,
}


@pytest.mark.parametrize("kind", HUGE)
def test_huge_claims_are_refused_before_decoding(refusal, photo, kind):
    message = refusal(HUGE[kind](photo))
    assert "50000x50000" in message
    assert str(2**28) in message
    assert "FUSIONKIT_MAX_PIXELS" in message


def webp_of(width: int, height: int, lossless: bool) -> bytes:
    """A WebP whose header claims a size; 100 bytes altogether."""
    if lossless:
        kind, size = b"VP8L", struct.pack("<I", width - 1 | height - 1 << 14)
        body = b"\x2f" + size
    else:
        kind, body = b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height)
    return b"RIFF" + struct.pack("<I", 92) + b"WEBP" + kind + struct.pack("<I", 80) + body.ljust(80)


SHORT = {
    "PNG": lambda photo: png(12000, 12000, 8, 0, [bytes(12001)]),
    "JPEG": lambda photo: patched_bmp_or_jpeg(encoded(photo, "JPEG"), 12000, 12000),
    "BMP": lambda photo: patched_bmp_or_jpeg(encoded(photo, "BMP"), 12000, 12000),
    "BMP of runs": lambda photo: bmp_of_runs(b"\xff\7" * 50, 12000, 12000),
    "lossless WebP": lambda photo: webp_of(12000, 12000, lossless=True),
    "lossy WebP": lambda photo: webp_of(12000, 12000, lossless=False),
}


@pytest.mark.parametrize("kind", SHORT)
def test_claims_that_so_few_bytes_cannot_hold(refusal, photo, kind):
    """Far below the limit of pixels, but a few KB: nothing of that size is allocated."""
    data = SHORT[kind](photo)
    assert len(data) < 20_000
    assert "is too short for 12000x12000 pixels" in refusal(data)


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_an_image_of_one_colour_is_small_and_right(tmp_path, image_format):
    path = tmp_path / "flat"
    Image.new("L", (3000, 2000), 99).save(path, image_format, **FLAT[image_format])
    picture = read_picture(path)
    assert picture.shape == (2000, 3000)
    assert np.ptp(picture.pixels) == 0


FLAT = {
    "PNG": {"optimize": True},
    "JPEG": {"progressive": True, "quality": 1},
    "WEBP": {"lossless": True},
    "TIFF": {"compression": "tiff_lzw"},
}


def test_bmp_of_runs(tmp_path):
    """Two runs, and two pixels as they are."""
    path = tmp_path / "a.bmp"
    path.write_bytes(bmp_of_runs(b"\4\7\0\0\1\5\0\3\1\2\3\0\0\1", 4, 2))
    assert read_picture(path).pixels[..., 0].tolist() == [[5, 1, 2, 3], [7, 7, 7, 7]]


def test_jpeg_with_many_scans(refusal, photo):
    """Each scan costs a pass over the image and takes a few bytes only."""
    data = encoded(photo, "JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    scan = data[at:-2]
    assert "scans" in refusal(data[:at] + scan * 200 + data[-2:])


@pytest.mark.parametrize(
    ("marker", "name"), [(0xC3, "lossless JPEG"), (0xF7, "JPEG-LS"), (0xC5, "this kind of JPEG")]
)
def test_other_kinds_of_jpeg(refusal, photo, marker, name):
    data = encoded(photo, "JPEG").replace(b"\xff\xc0", bytes([0xFF, marker]))
    assert f"{name} is not supported" in refusal(data)


def test_jpeg_of_twelve_bits(refusal, photo):
    data = bytearray(encoded(photo, "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    assert "JPEG of 12 bits is not supported" in refusal(bytes(data))


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}])
def test_limit_counts_in_every_webp(refusal, photo, options):
    data = encoded(photo, "WEBP", **options)
    assert "64x64" in refusal(data, max_pixels=64 * 64 - 1)


def test_limit_from_the_environment(refusal, photo, tmp_path, monkeypatch):
    data = encoded(photo, "PNG")
    monkeypatch.setenv("FUSIONKIT_MAX_PIXELS", "4095")
    assert "limit of 4095" in refusal(data)
    monkeypatch.setenv("FUSIONKIT_MAX_PIXELS", "4096")
    assert read_picture(tmp_path / "bad.png").shape == (64, 64)
    monkeypatch.setenv("FUSIONKIT_MAX_PIXELS", "many")
    with pytest.raises(UsageError, match="FUSIONKIT_MAX_PIXELS=many"):
        read_picture(tmp_path / "bad.png")


def test_above_pillows_own_limit(tmp_path, monkeypatch, recwarn, photo):
    """Pillow warns from 89 million pixels on, and raises at twice that; ours is the limit."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for image_format in ("PNG", "JPEG", "BMP", "WEBP", "TIFF"):
        (tmp_path / "big").write_bytes(encoded(photo, image_format))
        assert read_picture(tmp_path / "big").shape == (64, 64)
    assert not list(recwarn)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("encode", [tiff, npy])
def test_not_finite(refusal, rng, bad, encode):
    samples = rng.random((8, 8)).astype(np.float32)
    samples[1, :3] = bad
    message = refusal(encode(samples))
    assert "3 pixels are NaN or infinite" in message


@pytest.mark.parametrize("shape", [(1, 9), (9, 1)])
def test_too_small(refusal, shape):
    assert f"{shape[1]}x{shape[0]} pixels" in refusal(npy(np.zeros(shape, np.uint8)))


def test_many_channels(refusal, rng):
    data = tiff(
        rng.integers(0, 9, (8, 8, 12), dtype=np.uint8),
        photometric="minisblack",
        planarconfig="contig",
    )
    assert "12 channels" in refusal(data)


def test_lab_tiff(refusal, photo):
    assert "Lab" in refusal(tiff(np.asarray(photo), photometric="cielab"))


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "BMP", "WEBP", "TIFF"])
def test_random_damage_never_escapes(tmp_path, photo, rng, image_format):
    """Whatever bytes are changed: a picture or an ImageError."""
    data = encoded(photo.resize((16, 16)), image_format)
    refusals = []
    for _ in range(60):
        damaged = bytearray(data)
        for at in rng.integers(0, min(len(data), 300), 3):
            damaged[at] = rng.integers(256)
        (tmp_path / "a").write_bytes(damaged)
        try:
            read_picture(tmp_path / "a", max_pixels=10**6)
        except ImageError as error:
            refusals.append(str(error))
    assert refusals
    assert not any("\n" in refusal for refusal in refusals)
