"""TIFF files that say what they do not hold: each is refused before it costs memory or pixels."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from fusionkit.contract.reading import reading_with
from fusionkit.contract.registry import Registry
from fusionkit.errors import ImageError
from fusionkit.imaging import read_picture
from fusionkit.imaging._raw import Raw
from fusionkit.imaging._tiff import decode_tiff_stack

from ..conftest import data_folder
from .raw_files import encoded, next_page_at, patched_tiff, tiff, tiff_field

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS = 256, 257, 258, 259, 262, 273
SAMPLES, ROWS_PER_STRIP, BYTE_COUNTS, SOFTWARE, ICC = 277, 278, 279, 305, 34675


@pytest.fixture
def strips(make):
    """An RGB file of five strips, 20 rows of 24 pixels."""
    return tiff(make("uint8", 3, 20, 24), photometric="rgb", rowsperstrip=4, metadata=None)


@pytest.fixture
def pages(make):
    """A file of three pages."""
    return tiff(np.stack([make("uint8", 1, 20, 24)] * 3), photometric="minisblack", metadata=None)


# --- the list of pages -----------------------------------------------------------------------


def test_whole_pages_are_several_images(refusal, pages):
    assert "several images" in refusal(pages)


@pytest.mark.parametrize("bit", [12, 20, 31])
def test_next_page_out_of_the_file(refusal, pages, bit):
    at = next_page_at(pages)
    (second,) = struct.unpack_from("<I", pages, at)
    damaged = pages[:at] + struct.pack("<I", second ^ 1 << bit) + pages[at + 4 :]
    assert "its list of pages leads out of the file" in refusal(damaged)


def test_cut_before_the_second_page(refusal, pages):
    (second,) = struct.unpack_from("<I", pages, next_page_at(pages))
    for length in (second, second + 1, second + 50):
        assert "its list of pages leads out of the file" in refusal(pages[:length])


def test_pages_that_overlap(refusal):
    """Thousands of pages, each of thousands of fields, all in the same bytes: a day's work."""
    pages = 5000
    data = bytearray(b"II*\0" + struct.pack("<I", 8) + bytes(4 * pages + 12 * 9000))
    for page in range(pages):
        start = 8 + 4 * page
        struct.pack_into("<H", data, start, 4000)
        struct.pack_into("<I", data, start + 2 + 12 * 4000, start + 4)
    assert "overlap" in refusal(bytes(data)[: 20 + 4 * pages + 12 * 4000])


def test_pages_that_share_their_strips(make):
    """A small file would become as many images as it has room for directories."""
    data = bytearray(tiff(make("uint8", 1, 20, 24), metadata=None))
    (first,) = struct.unpack_from("<I", data, 4)
    following = next_page_at(data)
    directory = bytes(data[first:following])
    for _ in range(20):
        struct.pack_into("<I", data, following, len(data))
        following = len(data) + len(directory)
        data += directory + bytes(4)
    with pytest.raises(ImageError, match="its pages overlap"):
        decode_tiff_stack(Raw("a.tif", bytes(data), 10**6))


def test_pages_without_directories(refusal, make):
    """Tifffile and ImageJ may write one directory, and the other images behind the first."""
    stack = np.stack([make("uint8", 1, 20, 24)] * 3)
    newer = b'{"shape": [3, 20, 24], "truncated": true}'
    older = b'{"truncated": true, "shape": [3, 20, 24]}'
    data = tiff(stack, photometric="minisblack", truncate=True)
    assert newer in data or older in data
    assert "several images" in refusal(data.replace(older, newer))
    assert "several images" in refusal(data.replace(newer, older))
    assert "several images" in refusal(tiff(stack, imagej=True, truncate=True))


def test_description_left_from_another_image(tmp_path, make):
    samples = make("uint8", 1, 20, 24)
    left = '{"shape": [3, 20, 24]}'
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(samples, description=left, metadata=None))
    np.testing.assert_array_equal(read_picture(path).pixels, samples)


# --- fields ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        (HEIGHT, {"count": 2}),  # two heights
        (WIDTH, {"kind": 12}),  # a width of type double
        (WIDTH, {"count": 0}),
        (HEIGHT, {"count": 2**30}),
        (COMPRESSION, {"kind": 99}),
        (PHOTOMETRIC, {"new": 65000}),  # missing
        (BITS, {"value": 2**31}),  # its values are out of the file
    ],
)
def test_broken_field(refusal, strips, code, parts):
    message = refusal(patched_tiff(strips, code, **parts))
    assert f"its field {code} is missing or broken" in message


def test_field_that_stands_twice(refusal, strips):
    assert "field 256" in refusal(patched_tiff(strips, SOFTWARE_LIKE, new=WIDTH))


SOFTWARE_LIKE = 296  # ResolutionUnit, which decides nothing


def test_strange_private_field_is_no_obstacle(tmp_path, strips):
    path = tmp_path / "a.tif"
    path.write_bytes(patched_tiff(strips, SOFTWARE_LIKE, kind=99, count=2**31, value=2**31))
    assert read_picture(path).shape == (20, 24)


@pytest.mark.parametrize("kind", [3, 4, 5, 12])
def test_profile_of_numbers(refusal, strips, kind):
    assert f"field {ICC}" in refusal(patched_tiff(strips, SOFTWARE_LIKE, new=ICC, kind=kind))


def test_no_samples(refusal, strips):
    assert "no samples" in refusal(patched_tiff(strips, SAMPLES, value=0))


def test_depth_lost_by_a_cut(refusal, make):
    """Without its depths a file would be read as one of 1 bit, every pixel wrong."""
    data = encoded(Image.fromarray(make("uint8", 3)), "TIFF", compression="tiff_adobe_deflate")
    (depths,) = struct.unpack_from("<I", data, tiff_field(data, BITS) + 8)
    assert "damaged" in refusal(data[: depths + 4])


def test_depth_that_is_missing(refusal, make):
    for compression in (None, "zlib", "lzw", "packbits", "zstd"):
        data = tiff(make("uint8"), compression=compression, metadata=None)
        assert "damaged" in refusal(patched_tiff(data, BITS, new=65000))


@pytest.mark.parametrize("samples", [1, 2])
def test_fewer_samples_than_colours(refusal, strips, samples):
    assert "its colours take more" in refusal(patched_tiff(strips, SAMPLES, value=samples))


# --- strips and tiles ------------------------------------------------------------------------


@pytest.mark.parametrize("height", [15, 21, 40, 2**23])
def test_height_that_its_strips_do_not_have(refusal, strips, height):
    message = refusal(patched_tiff(strips, HEIGHT, value=height))
    assert "strips or tiles, and it has 5" in message


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "zstd", "jpeg"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_size_that_does_not_fit_the_data(refusal, make, compression, tile):
    """Neither skewed rows nor black ones: what a strip holds is counted."""
    data = tiff(
        make("uint8", 3, 32, 32),
        photometric="rgb",
        compression=compression,
        tile=tile,
        rowsperstrip=None if tile else 8,
        metadata=None,
    )
    for width in (31, 33) if tile is None else (33, 64):
        assert "damaged" in refusal(patched_tiff(data, WIDTH, value=width))
    assert "damaged" in refusal(patched_tiff(data, HEIGHT, value=33))
    if tile:
        assert "damaged" in refusal(patched_tiff(data, 322, value=32))
    else:
        assert "damaged" in refusal(patched_tiff(data, ROWS_PER_STRIP, value=9))
        assert "damaged" in refusal(patched_tiff(data, ROWS_PER_STRIP, value=0))


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "zstd", "jpeg"])
def test_claims_far_beyond_the_data(refusal, make, compression):
    """One strip of a few hundred bytes claims 200 million pixels."""
    data = tiff(make("uint8", 1, 20, 24), compression=compression, metadata=None)
    huge = patched_tiff(patched_tiff(data, HEIGHT, value=2**23), ROWS_PER_STRIP, value=2**23)
    assert "too short" in refusal(huge)


def test_last_strip_may_be_filled_up(tmp_path, make):
    """Some writers store every strip with all its rows."""
    samples = make("uint8", 1, 20, 24)
    data = tiff(samples, rowsperstrip=10, metadata=None, compression="zlib")
    path = tmp_path / "a.tif"
    path.write_bytes(patched_tiff(data, HEIGHT, value=17))
    np.testing.assert_array_equal(read_picture(path).pixels, samples[:17])


def test_overlapping_strips(refusal, strips):
    (sizes,) = struct.unpack_from("<I", strips, tiff_field(strips, BYTE_COUNTS) + 8)
    assert "damaged" in refusal(strips[:sizes] + b"\xff" * 10 + strips[sizes + 10 :])


# --- codings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "name"), [(4, "CCITT"), (34887, "LERC"), (34934, "JPEG XR"), (51234, "number 51234")]
)
def test_compression_that_is_not_read(refusal, strips, number, name):
    message = refusal(patched_tiff(strips, COMPRESSION, value=number))
    assert f"TIFF compression {name} is not supported" in message
    assert "LZW or Deflate" in message


def lzw(codes: list[tuple[int, int]]) -> bytes:
    """Pack (code, bits), high bits first."""
    bits = "".join(f"{code:0{width}b}" for code, width in codes)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


CLEAR, END = (256, 9), (257, 9)


def of_lzw(make, codes: list[tuple[int, int]], size: int = 4) -> bytes:
    """A file of 2 x 2 pixels whose only strip is these codes."""
    packed = lzw(codes)
    data = tiff(make("uint8", 1, 2, size // 2), metadata=None)
    data = patched_tiff(data, COMPRESSION, value=5)
    data = patched_tiff(data, OFFSETS, value=len(data))
    return patched_tiff(data, BYTE_COUNTS, value=len(packed)) + packed


def test_lzw_by_hand(tmp_path, make):
    path = tmp_path / "a.tif"
    path.write_bytes(of_lzw(make, [CLEAR, (7, 9), CLEAR, (9, 9), (258, 9), END]))
    assert read_picture(path).pixels.tolist() == [[7, 9], [9, 9]]


@pytest.mark.parametrize("code", [258, 300, 511])
@pytest.mark.parametrize("before", [[CLEAR], [CLEAR, (1, 9), (258, 9), CLEAR]])
def test_lzw_code_of_no_string(refusal, make, code, before):
    """The decoder takes the code behind a Clear for a byte, and would leave its table."""
    message = refusal(of_lzw(make, [*before, (code, 9), (1, 9), (259, 9), END]))
    assert "a Clear in its LZW data is followed by no byte" in message


def test_lzw_of_nothing_but_clears(refusal, make):
    assert "nearly all Clears" in refusal(of_lzw(make, [CLEAR] * 5000))


def test_lzw_without_a_clear(refusal, make):
    assert "begin with a Clear" in refusal(of_lzw(make, [(1, 9), (2, 9), END]))
    assert "lack a Clear" in refusal(of_lzw(make, [CLEAR, *[(7, 9)] * 254, *[(7, 12)] * 9000]))


def test_lzw_of_old_writers(tmp_path, make):
    """Before TIFF 6.0 the low bits came first, and codes grew one later."""
    samples = make("uint8", 1, 40, 50) // 16
    packed = old_lzw(samples.tobytes())
    data = patched_tiff(tiff(samples, metadata=None), COMPRESSION, value=5)
    data = patched_tiff(data, OFFSETS, value=len(data))
    path = tmp_path / "a.tif"
    path.write_bytes(patched_tiff(data, BYTE_COUNTS, value=len(packed)) + packed)
    np.testing.assert_array_equal(read_picture(path).pixels, samples)


def old_lzw(data: bytes) -> bytes:
    """Encode with the low bits first and late growth of the codes."""
    table = {bytes([n]): n for n in range(256)}
    codes, number, word = [(256, 9)], 258, b""
    width = 9
    for byte in data:
        longer = word + bytes([byte])
        if longer in table:
            word = longer
            continue
        codes.append((table[word], width))
        table[longer], number = number, number + 1
        width = 9 if number <= 512 else 10 if number <= 1024 else 11 if number <= 2048 else 12
        word = bytes([byte])
    codes += [(table[word], width), (257, width)]
    bits = "".join(f"{code:0{width}b}"[::-1] for code, width in codes)
    bits += "0" * (-len(bits) % 8)
    return int(bits[::-1], 2).to_bytes(len(bits) // 8, "little")


def test_jpeg_strip_that_is_cut(refusal, make):
    """The decoder would fill up the rest with grey."""
    samples = np.asarray(Image.fromarray(make("uint8", 3, 8, 8)).resize((64, 64)))
    data = tiff(samples, photometric="rgb", compression="jpeg", metadata=None)
    at = tiff_field(data, BYTE_COUNTS) + 8
    (size,) = struct.unpack_from("<I", data, at)
    cut = patched_tiff(data, BYTE_COUNTS, value=size // 2)
    assert "damaged" in refusal(cut)


# --- raw files of cameras ----------------------------------------------------------------------


def raw_of_a_camera(make, **fields) -> bytes:
    """A preview as the first page, and a mosaic below it."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(make("uint8", 3), photometric="rgb", subifds=1, metadata=None, **fields)
        writer.write(make("uint16"), photometric=32803, metadata=None)
    return file.getvalue()


@pytest.mark.parametrize("name", ["a.dng", "a.NEF", "a.cr2", "a.arw"])
def test_raw_by_its_extension(refusal, make, name):
    with reading_with(Registry([], [])):  # no plugin reads it
        message = refusal(raw_of_a_camera(make), name)
    assert f"camera raw ({name[2:].upper()}) files are not supported" in message
    assert "develop it" in message


@pytest.mark.parametrize(
    "fields", [{"extratags": [(50706, "B", 4, b"\1\4\0\0")]}, {"subfiletype": 1}]
)
def test_raw_by_its_content(refusal, make, fields):
    assert "camera raw" in refusal(raw_of_a_camera(make, **fields), "renamed.tif")


def test_mosaic(refusal, make):
    assert "camera raw" in refusal(tiff(make("uint16"), photometric=32803))


# --- what crashed once ---------------------------------------------------------------------------


def test_damaged_files_that_people_sent(recwarn, capfd):
    folder = data_folder()
    cases = sorted((folder / "cases" / "damaged").glob("*")) if folder else []
    if not cases:
        pytest.skip("needs the damaged files")
    for path in cases:
        with pytest.raises(ImageError) as caught:
            read_picture(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert not list(recwarn)
