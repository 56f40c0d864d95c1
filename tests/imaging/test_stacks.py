"""Files that hold several images of one scene, each of which is a source."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

import fusionkit
from fusionkit.errors import ImageError, UsageError
from fusionkit.imaging.stacks import images_in, read_stack


@pytest.fixture
def slices() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4096, (5, 20, 24), dtype=np.uint16)


@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "minisblack"},
        {"photometric": "minisblack", "compression": "zlib"},
        {"imagej": True},
        {"imagej": True, "metadata": {"axes": "ZYX", "slices": 5}},
        {"ome": True, "metadata": {"axes": "ZYX"}},
        {"photometric": "minisblack", "bigtiff": True, "byteorder": ">"},
    ],
)
def test_every_page_is_a_source(tmp_path, slices, options):
    path = tmp_path / "z.tif"
    tifffile.imwrite(path, slices, **options)
    assert images_in(path) == 5
    pages = read_stack(path, ["2:0,4095"])
    assert [page.name for page in pages] == [f"{path}, page {k}" for k in range(1, 6)]
    for page, expected in zip(pages, slices, strict=True):
        np.testing.assert_array_equal(page.pixels, expected)
    assert [page.high for page in pages] == [65535, 4095, 65535, 65535, 65535]


@pytest.mark.parametrize("channels", [(), (3,)])
def test_slices_of_an_array_are_sources(tmp_path, channels):
    array = np.random.default_rng(0).integers(0, 256, (4, 9, 11, *channels), dtype=np.uint8)
    np.save(tmp_path / "z.npy", array)
    assert images_in(tmp_path / "z.npy") == 4
    for page, expected in zip(read_stack(tmp_path / "z.npy"), array, strict=True):
        np.testing.assert_array_equal(page.pixels, expected)


def test_what_is_one_image_is_no_stack(tmp_path, slices):
    tifffile.imwrite(tmp_path / "one.tif", slices[0])
    with tifffile.TiffWriter(tmp_path / "thumb.tif") as writer:
        writer.write(slices[0])
        writer.write(slices[0, ::4, ::4], subfiletype=1)
    with tifffile.TiffWriter(tmp_path / "sizes.tif") as writer:
        writer.write(slices[0])
        writer.write(slices[1, :10])
    np.save(tmp_path / "colour.npy", np.zeros((9, 11, 3), np.uint8))
    Image.fromarray(np.zeros((9, 11), np.uint8)).save(tmp_path / "one.png")
    (tmp_path / "empty.tif").write_bytes(b"")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "one.tif").read_bytes()[:100])
    for path in [*tmp_path.iterdir(), tmp_path / "missing.tif", "a\0.tif", tmp_path]:
        assert images_in(path) == 1, path
    np.save(tmp_path / "bands.npy", np.zeros((9, 11, 5), np.uint8))
    with pytest.raises(ImageError, match=r"shape \(9, 11, 5\).*\(K, H, W, 1\)"):
        read_stack(tmp_path / "bands.npy")
    for name in ("one.tif", "thumb.tif", "colour.npy", "one.png"):
        with pytest.raises(ImageError, match=f"{name}: one image only.*at least two"):
            read_stack(tmp_path / name)


def test_pages_of_two_kinds_are_no_one_stack(tmp_path):
    array = np.zeros((3, 2, 8, 8), np.uint16)
    tifffile.imwrite(tmp_path / "h.tif", array, imagej=True, metadata={"axes": "ZCYX"})
    tifffile.imwrite(tmp_path / "h.ome.tif", array, metadata={"axes": "ZCYX"})
    for name in ("h.tif", "h.ome.tif"):
        says = "channels, slices or times at once.*#z=all,c=1, of z=1 to 3, c=1 to 2"
        with pytest.raises(ImageError, match=says):
            read_stack(tmp_path / name)


def test_ranges_count_the_pages(tmp_path, slices):
    tifffile.imwrite(tmp_path / "z.tif", slices, photometric="minisblack")
    with pytest.raises(UsageError, match="no source 6"):
        read_stack(tmp_path / "z.tif", ["6:0,1"])


def test_a_stack_is_fused_as_its_pages_are(tmp_path, slices):
    tifffile.imwrite(tmp_path / "z.tif", slices, photometric="minisblack")
    quick = {"weighting": "fixed", "objective": "mse", "steps": 1, "stretch": True}
    expected = fusionkit.fuse(list(slices), **quick)
    for sources in (tmp_path / "z.tif", [str(tmp_path / "z.tif")]):
        result = fusionkit.fuse(sources, **quick)
        assert (result.image == expected.image).all()
    assert len(result.record["inputs"]) == 5
    traced = fusionkit.trace(fusionkit.compose(**quick), [tmp_path / "z.tif"])
    assert traced.summary()["sources"] == [f"source {k}" for k in range(1, 6)]
