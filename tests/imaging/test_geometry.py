"""Sources are fused as they are seen: turned by their orientation tags, with a note on those."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

import fusionkit
from fusionkit.errors import ImageError
from fusionkit.imaging import (
    check_same_size,
    on_one_grid,
    orientation_notes,
    picture_from_array,
    read_picture,
)

TURNED = {
    1: "as it is stored",
    3: "turned by 180 degrees",
    6: "turned right by 90 degrees",
    8: "turned left by 90 degrees",
}


@pytest.fixture
def save(tmp_path, rng):
    def make(name, orientation=None, size=(24, 32)):
        pixels = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
        if name.endswith(".tif"):
            tags = [] if orientation is None else [(274, "H", 1, orientation, True)]
            tifffile.imwrite(tmp_path / name, pixels, photometric="rgb", extratags=tags)
        else:
            exif = Image.Exif()
            if orientation is not None:
                exif[274] = orientation
            Image.fromarray(pixels).save(tmp_path / name, exif=exif)
        return str(tmp_path / name)

    return make


@pytest.mark.parametrize("name", ["b.png", "b.jpg", "b.tif", "b.webp"])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_the_tag_is_remembered_and_tells_how(save, name, orientation):
    size = (24, 32) if orientation == 3 else (32, 24)
    pictures = [read_picture(save("a.png")), read_picture(save(name, orientation, size))]
    assert [picture.orientation for picture in pictures] == [1, orientation]
    (note,) = orientation_notes(pictures)
    assert note.startswith(pictures[1].name)
    assert f"{TURNED[orientation]} ({orientation})" in note
    assert f"{pictures[0].name} as it is stored (1)" in note


def test_tags_that_agree_need_no_note(save):
    for orientation in (None, 1, 6):
        pictures = [read_picture(save(name, orientation)) for name in ("a.jpg", "b.png")]
        assert orientation_notes(pictures) == ()
    assert orientation_notes([read_picture(save("a.jpg")), read_picture(save("b.jpg", 1))]) == ()


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_a_tag_that_means_nothing_is_none(save, orientation):
    assert read_picture(save("a.tif", orientation)).orientation == 1


def test_sizes_that_differ_by_a_tag(save):
    pictures = [read_picture(save("a.jpg")), read_picture(save("b.jpg", 6))]
    with pytest.raises(ImageError) as caught:
        check_same_size(pictures)
    message = str(caught.value)
    assert f"{pictures[0].name} is 32x24," in message
    assert f"{pictures[1].name} is 24x32, turned right by 90 degrees by its orientation" in message
    assert "tag (6)" in message
    assert "as they are stored they have one" in message
    other = read_picture(save("c.jpg", 6, (50, 60)))
    with pytest.raises(ImageError) as caught:
        check_same_size([pictures[0], other])
    assert "as they are stored" not in str(caught.value)


def test_fused_as_seen(save, tmp_path):
    paths = [save("a.png"), save("b.jpg", 3)]
    seen = np.asarray(Image.open(paths[1]).transpose(Image.Transpose.ROTATE_180))
    with pytest.warns(fusionkit.FusionkitWarning, match="they are fused as they are seen"):
        result = fusionkit.fuse(paths, noise=["1:0", "2:0"])
    upright = fusionkit.fuse([np.asarray(Image.open(paths[0])), seen], noise=["1:0", "2:0"])
    assert np.array_equal(result.image, upright.image)
    assert [entry["orientation"] for entry in result.record["inputs"]] == [1, 3]
    assert any("orientation tag" in note for note in result.record["warnings"])
    result.save(tmp_path / "o.jpg")
    assert 274 not in Image.open(tmp_path / "o.jpg").getexif()


def test_pictures_of_fewer_pixels_are_brought_to_the_largest_grid() -> None:
    ramp = np.arange(0, 240, 10, dtype=np.uint8)
    large = picture_from_array(np.tile(np.repeat(ramp, 4), (40, 1)), "large")
    small = picture_from_array(np.tile(ramp, (10, 1)), "small")
    one, other = on_one_grid([small, large])
    assert other is large
    assert one.measured is small
    assert one.shape == large.shape
    assert one.dtype == np.uint8
    assert np.abs(one.pixels.astype(int) - large.pixels).max() <= 5
    assert on_one_grid([large, large]) == (large, large)
    for shape in [(10, 30), (40, 24), (80, 96)]:
        with pytest.raises(ImageError, match="fusion needs registered images of one"):
            on_one_grid([picture_from_array(np.zeros(shape, np.uint8), "odd"), large])
