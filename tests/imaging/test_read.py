"""Reading: depths, layouts and peculiarities of the formats."""

from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from fusionkit.imaging import read_picture

from .raw_files import encoded, exif, png, png16, png_chunk, tiff


@pytest.fixture
def save(tmp_path):
    def to_file(data: bytes, name: str = "image") -> str:
        path = tmp_path / name
        path.write_bytes(data)
        return str(path)

    return to_file


def test_import_stays_light():
    code = (
        "import sys, fusionkit.imaging\n"
        "print([m for m in ('torch', 'tifffile', 'imagecodecs') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_facts_of_a_picture(save, make):
    samples = make("uint8", 4)
    data = encoded(Image.fromarray(samples), "PNG")
    path = save(data, "a.png")
    picture = read_picture(path)
    assert picture.name == path
    assert picture.sha256 == hashlib.sha256(data).hexdigest()
    assert (picture.height, picture.width, picture.shape) == (7, 9, (7, 9))
    assert (picture.layout, picture.dtype, picture.channels) == ("rgb+alpha", np.uint8, 3)
    assert (picture.low, picture.high, picture.explicit_range) == (0, 255, False)
    assert picture.is_colour
    assert picture.notes == ()
    with pytest.raises(ValueError, match="read-only"):
        picture.pixels[0, 0, 0] = 1


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_format_is_told_by_content(save, image_format):
    grey = np.full((16, 16, 3), 200, np.uint8)
    grey[:, 8:] = 40
    picture = read_picture(save(encoded(Image.fromarray(grey), image_format), "wrong.gif"))
    assert np.abs(picture.pixels.astype(int) - grey).max() <= 12
    assert not picture.is_colour


# --- PNG -------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_keeps_16_bits(save, make, channels):
    samples = make("uint16", channels)
    picture = read_picture(save(png16(samples)))
    colours = samples if channels == 1 else samples[..., : 1 if channels == 2 else 3].squeeze()
    np.testing.assert_array_equal(picture.pixels, colours)
    assert picture.dtype == np.uint16
    if channels in (2, 4):
        np.testing.assert_array_equal(picture.alpha, samples[..., -1])
    else:
        assert picture.alpha is None


@pytest.mark.parametrize(("bits", "levels"), [(1, [0, 255]), (2, [0, 85, 170, 255])])
def test_png_of_few_bits_is_full_scale(save, bits, levels):
    row = bytes([0b01010101]) if bits == 1 else bytes([0b00011011])
    picture = read_picture(save(png(len(levels), 2, bits, 0, [row, row])))
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.tolist() == [levels, levels]


def test_png_palette(save):
    palette = bytes([10, 20, 30, 40, 50, 60])
    rows = [bytes([0b01000000])] * 2
    plain = read_picture(save(png(2, 2, 1, 3, rows, (b"PLTE", palette))))
    assert plain.pixels[0].tolist() == [[10, 20, 30], [40, 50, 60]]
    assert plain.alpha is None
    clear = read_picture(save(png(2, 2, 1, 3, rows, (b"PLTE", palette), (b"tRNS", b"\x07"))))
    assert clear.pixels[0].tolist() == [[10, 20, 30], [40, 50, 60]]
    assert clear.alpha[0].tolist() == [7, 255]
    # What is said of colours that there are not is of no pixel; libpng would leave out all.
    more = read_picture(save(png(2, 2, 1, 3, rows, (b"PLTE", palette), (b"tRNS", b"\7\1\2"))))
    assert more.alpha[0].tolist() == [7, 1]
    whole = read_picture(save(png(2, 2, 4, 3, [b"\1", b"\x10"], (b"PLTE", palette))))
    assert whole.pixels[1].tolist() == [[40, 50, 60], [10, 20, 30]]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("colour_type", [0, 2])
def test_png_transparent_colour(save, make, bits, colour_type):
    samples = make(f"uint{bits}", 3 if colour_type else 1)
    key = np.atleast_1d(samples[2, 3]).astype(">u2").tobytes()
    rows = [row.astype(f">u{bits // 8}").tobytes() for row in samples]
    picture = read_picture(save(png(9, 7, bits, colour_type, rows, (b"tRNS", key))))
    np.testing.assert_array_equal(picture.pixels, samples)
    assert picture.alpha[2, 3] == 0
    opaque = np.atleast_3d(samples) != np.atleast_1d(samples[2, 3])
    np.testing.assert_array_equal(picture.alpha == 2**bits - 1, opaque.any(axis=-1))


def test_png_transparent_grey_of_two_bits(save):
    rows = [bytes([0b00011011])] * 2
    picture = read_picture(save(png(4, 2, 2, 0, rows, (b"tRNS", b"\0\1"))))
    assert picture.pixels[0].tolist() == [0, 85, 170, 255]
    assert picture.alpha[0].tolist() == [255, 0, 255, 255]


def test_png_interlaced(save, make, capfd):
    """Libpng warns of interlaced files in the way they are decoded here."""
    samples = make("uint8", 1, 2, 2)
    rows = [samples[0, :1].tobytes(), samples[0, 1:].tobytes(), samples[1].tobytes()]
    picture = read_picture(save(png(2, 2, 8, 0, rows, interlace=1)))
    np.testing.assert_array_equal(picture.pixels, samples)
    assert capfd.readouterr() == ("", "")


def test_png_animation_is_refused(save):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    with pytest.raises(Exception, match="animation"):
        read_picture(save(data))


def test_png_of_a_wrong_profile_is_quiet(save, make, capfd):
    """Libpng complains on stderr about profiles it does not like."""
    chunk = (b"iCCP", b"x\0\0" + zlib.compress(b"no profile"))
    assert read_picture(save(png16(make("uint16", 3), chunk))).icc == b"no profile"
    assert capfd.readouterr() == ("", "")


# --- JPEG, WebP, BMP -------------------------------------------------------------------------


@pytest.mark.parametrize("image_format", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb_with_a_note(save, image_format):
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:8] = (255, 0, 0, 0)  # cyan
    inks[8:] = (0, 255, 255, 51)  # red under 20 % black
    image = Image.frombytes("CMYK", (16, 16), inks.tobytes())
    picture = read_picture(save(encoded(image, image_format)))
    assert np.abs(picture.pixels[2, 2].astype(int) - (0, 255, 255)).max() <= 4
    assert np.abs(picture.pixels[12, 12].astype(int) - (204, 0, 0)).max() <= 4
    assert "CMYK" in picture.notes[0]


def test_jpeg_of_two_pictures_gives_the_first(save):
    first, second = Image.new("RGB", (16, 8), (200, 0, 0)), Image.new("RGB", (16, 8))
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    assert read_picture(save(data)).pixels[4, 4, 0] > 190


def test_grey_jpeg_is_grey(save):
    assert read_picture(save(encoded(Image.new("L", (8, 8), 100), "JPEG"))).layout == "grey"


def test_webp_alpha_and_animation(save, make):
    samples = make("uint8", 4)
    still = encoded(Image.fromarray(samples), "WEBP", lossless=True, exact=True)
    picture = read_picture(save(still))
    np.testing.assert_array_equal(picture.pixels, samples[..., :3])
    np.testing.assert_array_equal(picture.alpha, samples[..., 3])
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    moving = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(Exception, match="animation"):
        read_picture(save(moving))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmp_modes(save, mode):
    ramp = np.tile(np.array([0, 255], np.uint8), (4, 3))
    image = Image.fromarray(ramp).convert("RGB").convert(mode)
    picture = read_picture(save(encoded(image, "BMP")))
    pixels = picture.pixels if picture.channels == 1 else picture.pixels[..., 0]
    np.testing.assert_array_equal(pixels, ramp)
    assert not picture.is_colour


# --- TIFF ------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd", "packbits"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_tiff_compressions(save, make, compression, dtype):
    samples = make(dtype, 3)
    picture = read_picture(save(tiff(samples, photometric="rgb", compression=compression)))
    np.testing.assert_array_equal(picture.pixels, samples)
    assert picture.dtype == dtype


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiff_layouts_in_the_file(save, make, planes, tile, byteorder):
    samples = make("uint16", 4, 20, 35)
    stored = samples if planes == "contig" else np.moveaxis(samples, -1, 0)
    data = tiff(
        stored,
        photometric="rgb",
        planarconfig=planes,
        tile=tile,
        byteorder=byteorder,
        extrasamples=["unassalpha"],
    )
    picture = read_picture(save(data))
    np.testing.assert_array_equal(picture.pixels, samples[..., :3])
    np.testing.assert_array_equal(picture.alpha, samples[..., 3])
    assert picture.dtype.isnative


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_tiff_white_is_zero(save, make, dtype):
    samples = make(dtype)
    picture = read_picture(save(tiff(samples, photometric="miniswhite")))
    np.testing.assert_array_equal(picture.pixels, np.iinfo(dtype).max - samples)


@pytest.mark.parametrize("compression", ["raw", "packbits", "tiff_lzw", "tiff_adobe_deflate"])
def test_tiff_of_one_bit(save, rng, compression):
    bits = rng.random((9, 11)) > 0.5
    data = encoded(Image.fromarray(bits), "TIFF", compression=compression)
    picture = read_picture(save(data))
    np.testing.assert_array_equal(picture.pixels, np.where(bits, 255, 0))
    assert picture.dtype == np.uint8


def test_tiff_of_one_bit_white_is_zero(save, rng):
    bits = rng.random((9, 16)) > 0.5
    data = tiff(np.packbits(bits, axis=1), photometric="miniswhite")
    # The packed bytes stand as 1-bit samples once width and depth say so.
    with tifffile.TiffFile(io.BytesIO(data), mode="rb") as file:
        tags = {name: file.pages[0].tags[name].valueoffset for name in ("ImageWidth",)}
        bits_at = file.pages[0].tags["BitsPerSample"].valueoffset
    patched = bytearray(data)
    patched[tags["ImageWidth"] : tags["ImageWidth"] + 2] = struct.pack("<H", 16)
    patched[bits_at : bits_at + 2] = struct.pack("<H", 1)
    picture = read_picture(save(bytes(patched)))
    np.testing.assert_array_equal(picture.pixels, np.where(bits, 0, 255))


def test_tiff_of_twelve_bits_keeps_its_range(save, rng):
    samples = rng.integers(0, 4096, (8, 10), dtype=np.uint16)
    samples[0, :2] = 0, 4095
    data = tiff(samples, bitspersample=16)
    bits = samples.ravel()[:, None] >> np.arange(11, -1, -1) & 1
    packed = np.packbits(bits.astype(np.uint8)).tobytes()
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        at = {n: page.tags[n].valueoffset for n in ("BitsPerSample", "StripByteCounts")}
        start = page.dataoffsets[0]
    patched = bytearray(data)
    patched[at["BitsPerSample"] : at["BitsPerSample"] + 2] = struct.pack("<H", 12)
    patched[at["StripByteCounts"] : at["StripByteCounts"] + 2] = struct.pack("<H", len(packed))
    patched[start : start + len(packed)] = packed
    picture = read_picture(save(bytes(patched)))
    np.testing.assert_array_equal(picture.pixels, samples)
    assert (picture.low, picture.high, picture.explicit_range) == (0, 4095, False)


def test_tiff_palette(save, make):
    image = Image.fromarray(make("uint8", 3)).quantize(8)
    picture = read_picture(save(encoded(image, "TIFF")))
    np.testing.assert_array_equal(picture.pixels, np.asarray(image.convert("RGB")))


def test_tiff_ycbcr(save, make):
    smooth = np.asarray(Image.fromarray(make("uint8", 3, 4, 4)).resize((16, 16)))
    data = encoded(Image.fromarray(smooth).convert("YCbCr"), "TIFF")
    assert np.abs(read_picture(save(data)).pixels.astype(int) - smooth).max() <= 3


def test_tiff_ycbcr_by_jpeg(save):
    flat = np.full((32, 32, 3), (180, 60, 90), np.uint8)
    data = tiff(flat, photometric="rgb", compression="jpeg", compressionargs={"level": 95})
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert file.pages[0].photometric == 6
    assert np.abs(read_picture(save(data)).pixels.astype(int) - flat).max() <= 4


def test_tiff_associated_alpha_is_divided_out(save, rng):
    straight = rng.integers(0, 65536, (8, 9, 3), dtype=np.uint16)
    alpha = rng.integers(20000, 65536, (8, 9), dtype=np.uint16)
    stored = np.dstack([np.rint(straight * (alpha / 65535)[..., None]).astype(np.uint16), alpha])
    picture = read_picture(save(tiff(stored, photometric="rgb", extrasamples=["assocalpha"])))
    assert np.abs(picture.pixels.astype(int) - straight).max() <= 2
    np.testing.assert_array_equal(picture.alpha, alpha)
    assert "multiplied by alpha" in picture.notes[0]


def test_tiff_extra_channels(save, make):
    unmarked = tiff(make("uint8", 4), photometric="rgb", extrasamples=["unspecified"])
    picture = read_picture(save(unmarked))
    assert picture.layout == "rgb"
    assert "not marked as alpha" in picture.notes[0]
    bands = tiff(make("uint8", 4), photometric="minisblack", planarconfig="contig", metadata=None)
    with pytest.raises(Exception, match="4 channels"):
        read_picture(save(bands))


@pytest.mark.parametrize("imagej", [False, True])
def test_tiff_of_several_pages_is_refused(save, rng, imagej):
    stack = rng.integers(0, 256, (5, 6, 7), dtype=np.uint8)
    with pytest.raises(Exception, match="holds several images"):
        read_picture(save(tiff(stack, photometric="minisblack", imagej=imagej)))


def test_tiff_thumbnail_does_not_count(save, make):
    file = io.BytesIO()
    samples = make("uint8")
    with tifffile.TiffWriter(file) as writer:
        writer.write(samples)
        writer.write(samples[::2, ::2], subfiletype=1)
    np.testing.assert_array_equal(read_picture(save(file.getvalue())).pixels, samples)


# --- NPY -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", ">u2", "float16", "<f4", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(tmp_path, make, dtype, order):
    samples = np.asarray(make(np.dtype(dtype).newbyteorder("=").name, 4).astype(dtype), order=order)
    np.save(tmp_path / "a.npy", samples)
    picture = read_picture(tmp_path / "a.npy")
    np.testing.assert_array_equal(picture.pixels, samples[..., :3])
    np.testing.assert_array_equal(picture.alpha, samples[..., 3])
    assert picture.dtype.isnative


# --- orientation and profile -----------------------------------------------------------------

SCENE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)[:3] * 5  # 3 rows, 4 columns


def stored_as(scene, orientation):
    """What a camera stores: the edge of the scene where row 0 and column 0 lie (Exif 4.6.4)."""
    return {
        1: scene,
        2: scene[:, ::-1],
        3: scene[::-1, ::-1],
        4: scene[::-1],
        5: scene.swapaxes(0, 1),
        6: np.rot90(scene, 1),
        7: scene[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(scene, -1),
    }[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "PNG16", "JPEG", "WEBP", "TIFF"])
def test_orientation(save, kind, orientation):
    scene = SCENE if kind != "JPEG" else SCENE.repeat(16, axis=0).repeat(16, axis=1)
    stored = np.ascontiguousarray(stored_as(scene, orientation))
    block = exif(orientation)
    if kind == "PNG16":
        data = png16(stored.astype(np.uint16) * 257, (b"eXIf", block))
    elif kind == "TIFF":
        data = tiff(stored, photometric="rgb", extratags=[(274, "H", 1, orientation)])
    else:
        options = {"PNG": {}, "JPEG": {"quality": 100}, "WEBP": {"lossless": True}}[kind]
        data = encoded(Image.fromarray(stored), kind, exif=b"Exif\0\0" + block, **options)
    pixels = read_picture(save(data)).pixels.astype(float)
    if kind == "PNG16":
        pixels /= 257
    assert pixels.shape == scene.shape
    assert np.abs(pixels - scene).max() <= (6 if kind == "JPEG" else 0)


def test_png_orientation_behind_the_image_data(save):
    data = png16(SCENE.astype(np.uint16))
    data = data[:-12] + png_chunk(b"eXIf", exif(3)) + data[-12:]
    np.testing.assert_array_equal(read_picture(save(data)).pixels, SCENE[::-1, ::-1])


def test_orientation_turns_alpha_too(save, make):
    samples = make("uint8", 4)
    data = encoded(Image.fromarray(samples), "PNG", exif=b"Exif\0\0" + exif(4))
    picture = read_picture(save(data))
    np.testing.assert_array_equal(picture.alpha, samples[::-1, :, 3])


def test_malformed_exif_is_no_obstacle(save, make, recwarn):
    cut = png16(make("uint16"), (b"eXIf", exif(6)[:-6]))
    assert read_picture(save(cut)).shape == (7, 9)
    assert not list(recwarn)
    data = png16(make("uint16"), (b"eXIf", b"rubbish rubbish"))
    assert "Exif" in read_picture(save(data)).notes[0]


@pytest.mark.parametrize("kind", ["PNG", "PNG16", "JPEG", "WEBP", "TIFF"])
def test_profile_is_kept(save, make, kind):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if kind == "PNG16":
        body = b"sRGB\0\0" + zlib.compress(profile)
        data = png16(make("uint16", 3), (b"iCCP", body))
    else:
        data = encoded(Image.fromarray(make("uint8", 3)), kind, icc_profile=profile)
    assert read_picture(save(data)).icc == profile
