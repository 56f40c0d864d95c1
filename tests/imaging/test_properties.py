"""What holds for every image, layout and cut, tried on examples that hypothesis makes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from fusionkit.errors import ImageError
from fusionkit.imaging import Picture, read_picture, write_picture
from fusionkit.imaging.stacks import read_stack

from ..fuzz.seeds import seeds
from .raw_files import png, tiff

# The same examples in every run, however slow the machine; a folder for all examples of a test.
settings.register_profile(
    "fusionkit",
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
examples = settings(settings.get_profile("fusionkit"))

SEEDS = seeds()
SIDES = st.integers(2, 40)


@st.composite
def samples(draw, dtypes: tuple[str, ...], channels: tuple[int, ...] = (1, 2, 3, 4)):
    """Stored values of any kind, (H, W) or (H, W, C), over the full scale of their dtype."""
    dtype, count = np.dtype(draw(st.sampled_from(dtypes))), draw(st.sampled_from(channels))
    shape = (draw(SIDES), draw(SIDES)) + ((count,) if count > 1 else ())
    if dtype.kind == "f":
        return draw(arrays(dtype, shape, elements=st.floats(0, 1, width=8 * dtype.itemsize)))
    return draw(arrays(dtype, shape))


def split(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    if values.ndim == 2:
        return values, None
    channels = values.shape[2]
    pixels = values[..., 0] if channels < 3 else values[..., :3]
    return pixels, values[..., -1] if channels in (2, 4) else None


def same(picture: Picture, values: np.ndarray) -> None:
    """Check that a picture holds these samples, depth and alpha included."""
    pixels, alpha = split(values)
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.dtype == values.dtype.newbyteorder("=")
    assert (picture.alpha is None) == (alpha is None)
    if alpha is not None:
        np.testing.assert_array_equal(picture.alpha, alpha)


def read(folder: Path, data: bytes) -> Picture:
    (folder / "file").write_bytes(data)
    return read_picture(folder / "file")


# --- written and read again ------------------------------------------------------------------

EVERY_DTYPE = ("uint8", "uint16", "float16", "float32", "float64")
LOSSLESS = {
    ".png": samples(("uint8", "uint16")),
    ".tif": samples(EVERY_DTYPE),
    ".npy": samples(EVERY_DTYPE),
    ".bmp": samples(("uint8",), (1, 3)),
    ".webp": samples(("uint8",), (3, 4)),
}


@pytest.mark.slow
@pytest.mark.parametrize("extension", LOSSLESS)
@examples
@given(data=st.data())
def test_what_is_written_is_read(tmp_path, extension, data):
    values = data.draw(LOSSLESS[extension])
    path = tmp_path / f"image{extension}"
    write_picture(path, *split(values), overwrite=True)
    same(read_picture(path), values)


@examples
@given(values=samples(("uint8",), (1, 3)))
def test_jpeg_is_read_near_to_what_was_written(tmp_path, values):
    smooth = np.asarray(Image.fromarray(values).resize((64, 64)))
    write_picture(tmp_path / "a.jpg", smooth, overwrite=True)
    assert np.abs(read_picture(tmp_path / "a.jpg").pixels.astype(int) - smooth).mean() < 4


# --- layouts that others write -----------------------------------------------------------------


@pytest.mark.slow
@examples
@given(data=st.data())
def test_every_layout_of_a_tiff(tmp_path, data):
    values = data.draw(samples(EVERY_DTYPE))
    channels = 1 if values.ndim == 2 else values.shape[2]
    compression = data.draw(st.sampled_from([None, "lzw", "zlib", "deflate", "packbits", "zstd"]))
    planar = data.draw(st.booleans()) and channels > 1
    stored = np.moveaxis(values, -1, 0) if planar else values
    tile = data.draw(st.none() | st.sampled_from([(16, 16), (16, 32), (64, 48)]))
    file = tiff(
        stored,
        photometric="rgb" if channels > 2 else "minisblack",
        planarconfig="separate" if planar else "contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression=compression,
        predictor=compression is not None and data.draw(st.booleans()),
        tile=tile,
        rowsperstrip=None if tile else data.draw(st.none() | st.integers(1, 50)),
        byteorder=data.draw(st.sampled_from("<>")),
        bigtiff=data.draw(st.booleans()),
        metadata=None,
    )
    same(read(tmp_path, file), values)


@examples
@given(data=st.data())
def test_every_depth_of_a_png(tmp_path, data):
    bits = data.draw(st.sampled_from([1, 2, 4, 8]))
    width, height = data.draw(SIDES), data.draw(SIDES)
    levels = data.draw(arrays(np.uint8, (height, width), elements=st.integers(0, 2**bits - 1)))
    bit_planes = (levels[..., np.newaxis] >> np.arange(bits)[::-1] & 1).reshape(height, -1)
    rows = [np.packbits(row).tobytes() for row in bit_planes]
    picture = read(tmp_path, png(width, height, bits, 0, rows))
    np.testing.assert_array_equal(picture.pixels, levels * (255 // (2**bits - 1)))


@pytest.mark.slow
@examples
@given(data=st.data())
def test_every_layout_of_an_npy(tmp_path, data):
    values = data.draw(samples(EVERY_DTYPE))
    stored = values.astype(values.dtype.newbyteorder(data.draw(st.sampled_from("<>"))))
    file = io.BytesIO()
    np.save(file, np.asarray(stored, order=data.draw(st.sampled_from("CF"))))
    same(read(tmp_path, file.getvalue()), values)


# --- damage --------------------------------------------------------------------------------------


# These are refused whole, where one image is asked for.
SEVERAL = {"tiff-pages", "tiff-pages-zlib", "tiff-pages-lzw", "tiff-imagej"}
SEVERAL |= {"npy-stack", "npy-colour-stack"}


@pytest.mark.parametrize("name", sorted(SEEDS.keys() - SEVERAL))
@settings(examples, max_examples=12)
@given(data=st.data())
def test_a_cut_shows_or_does_no_harm(tmp_path, name, data):
    """A file that was cut is refused, unless its pixels are all there."""
    whole = SEEDS[name]
    length = data.draw(st.integers(1, len(whole) - 1))
    expected = read(tmp_path, whole)
    try:
        cut = read(tmp_path, whole[:length])
    except ImageError:
        return
    np.testing.assert_array_equal(cut.pixels, expected.pixels)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SEVERAL))
def test_several_images_cut_anywhere(tmp_path, name):
    """No cut makes one picture of a file of several, nor a shorter stack."""
    whole, path = SEEDS[name], tmp_path / "file"
    path.write_bytes(whole)
    expected = [page.pixels for page in read_stack(path)]
    for length in range(8, len(whole), 7):
        with pytest.raises(ImageError):
            read(tmp_path, whole[:length])
        try:
            cut = read_stack(path)
        except ImageError:
            continue
        np.testing.assert_array_equal([page.pixels for page in cut], expected)


@examples
@given(head=st.sampled_from([seed[:20] for seed in SEEDS.values()]), rest=st.binary(max_size=300))
def test_any_bytes_are_a_picture_or_one_line(tmp_path, head, rest):
    for length in (4, 8, 12, 20):
        said = ""
        try:
            read(tmp_path, head[:length] + rest)
        except ImageError as refusal:
            said = str(refusal)
        assert not said or (said.startswith(f"{tmp_path / 'file'}: ") and "\n" not in said)
