"""``fusionkit compare``: sheets of images with enlarged regions."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fusionkit import UsageError
from fusionkit.cli.compare import main
from fusionkit.evaluation.sheet import COLOURS, Region, make_sheet, most_different
from fusionkit.imaging import read_picture, write_picture

WIDTH, HEIGHT = 120, 90


def rgb(colour):
    return tuple(int(colour[n : n + 2], 16) for n in (1, 3, 5))


def pixels_of(sheet, colour):
    return int((sheet == np.array(rgb(colour))).all(-1).sum())


@pytest.fixture
def images(tmp_path):
    """Three images of one scene; the third has a bright patch at (70, 50)."""
    generator = np.random.default_rng(0)
    base = generator.integers(60, 90, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    patched = base.copy()
    patched[50:72, 70:92] = (10, 200, 30)
    paths = []
    for name, image in (("first", base), ("second", base), ("third", patched)):
        paths.append(str(tmp_path / f"{name}.png"))
        Image.fromarray(image).save(paths[-1])
    return paths


def test_the_window_is_where_images_differ_most(images, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    assert main([*images, "-o", str(out)]) == 0
    region = most_different([read_picture(path).pixels for path in images])
    assert region.size == 22
    assert abs(region.x - 70) <= 1
    assert abs(region.y - 50) <= 1
    assert f"--zoom {region.x},{region.y},22" in capsys.readouterr().out
    sheet = np.asarray(Image.open(out))
    assert sheet.shape[1] > 3 * WIDTH
    assert pixels_of(sheet, COLOURS[0]) > 0
    assert pixels_of(sheet, COLOURS[1]) == 0
    # Enlarged: far more of the patch's green than in the picture itself.
    green = int((sheet == (10, 200, 30)).all(-1).sum())
    assert green > 22 * 22 + 40 * 40


def test_detail_counts_before_brightness():
    """A sky, dark in one image and bright in the other, is not what one wants to see enlarged."""
    dark = np.full((80, 120, 3), 10, np.uint8)
    shaded = dark + np.linspace(230, 0, 120).astype(np.uint8)[None, :, None]  # from left to right
    shaded[40:60, 90:110:2] += 60
    region = most_different([dark, shaded])
    assert region.size == 20
    assert 85 <= region.x <= 95
    assert 35 <= region.y <= 45
    # Without any detail it is where the brightness differs.
    assert most_different([dark, np.full_like(dark, 200)]) == Region(0, 0, 20)


def test_identical_images_are_enlarged_in_the_middle():
    image = np.full((40, 60, 3), 7, np.uint8)
    assert most_different([image, image]) == Region(22, 12, 16)


def test_images_are_kept_at_full_resolution_in_colour(images):
    pictures = [read_picture(path).pixels for path in images]
    sheet = make_sheet(pictures, ["a", "b", "c"], [], 2)
    gap = 4
    np.testing.assert_array_equal(sheet[gap : gap + HEIGHT, gap : gap + WIDTH], pictures[0])
    second = sheet[gap : gap + HEIGHT, 2 * gap + WIDTH : 2 * gap + 2 * WIDTH]
    np.testing.assert_array_equal(second, pictures[1])
    assert sheet.shape[1] == 2 * WIDTH + 3 * gap
    third = sheet[sheet.shape[0] // 2 :, gap : gap + WIDTH]
    assert (third == (10, 200, 30)).all(-1).sum() == 22 * 22


def test_every_zoom_has_its_own_colour_in_every_picture(images):
    pictures = [read_picture(path).pixels for path in images]
    regions = [Region(0, 0, 20), Region(50, 30, 16), Region(WIDTH - 20, HEIGHT - 20, 20)]
    sheet = make_sheet(pictures, ["a", "b", "c"], regions, 3)
    gap = 4
    for place in range(3):
        left = gap + place * (WIDTH + gap)
        picture = sheet[gap : gap + HEIGHT, left : left + WIDTH]
        below = sheet[gap + HEIGHT :, left : left + WIDTH]
        for colour, region in zip(COLOURS[:3], regions, strict=True):
            # All four sides are seen, at the border of the picture too.
            assert pixels_of(picture, colour) >= 4 * (region.size - 2)
            assert pixels_of(below, colour) > 0
        assert pixels_of(picture, COLOURS[3]) == 0


def test_insets_stand_in_the_middle(images):
    pictures = [read_picture(path).pixels for path in images[:2]]
    sheet = make_sheet(pictures, ["", ""], [Region(10, 10, 16)], 1)
    found = np.flatnonzero((sheet[4 + HEIGHT + 4] == np.array(rgb(COLOURS[0]))).all(-1))
    assert len(found) == (WIDTH - 4) // 2
    assert abs(found.min() + found.max() - (2 * 4 + WIDTH)) <= 2


def test_insets_repeat_pixels_and_do_not_blend_them():
    image = np.zeros((64, 64, 3), np.uint8)
    image[::2, ::2] = (0, 0, 250)
    sheet = make_sheet([image, image], ["", ""], [Region(10, 10, 8)], 2)
    found = {tuple(int(v) for v in pixel) for pixel in sheet.reshape(-1, 3)}
    assert found == {(0, 0, 0), (0, 0, 250), (255, 255, 255), rgb(COLOURS[0])}


def test_labels_stand_under_the_images(images):
    pictures = [read_picture(path).pixels for path in images[:2]]
    plain = make_sheet(pictures, ["", ""], [], 2)
    labelled = make_sheet(pictures, ["Ours", "a label too long " * 20], [], 2)
    assert plain.shape == labelled.shape
    changed = (plain != labelled).any(-1)
    assert not changed[: 4 + HEIGHT].any()
    for left in (4, 8 + WIDTH):
        assert changed[4 + HEIGHT :, left : left + WIDTH].any()
    assert not changed[:, :4].any()
    assert not changed[:, 8 + 2 * WIDTH :].any()


def test_sixteen_bits_grey_and_alpha_are_shown(tmp_path):
    deep = np.full((40, 40), 0x8080, np.uint16)
    write_picture(tmp_path / "deep.png", deep)
    clear = np.zeros((40, 40, 3), np.uint8)
    write_picture(tmp_path / "clear.png", clear, alpha=np.zeros((40, 40), np.uint8))
    out = tmp_path / "sheet.tif"
    paths = [str(tmp_path / "deep.png"), str(tmp_path / "clear.png")]
    assert main([*paths, "-o", str(out), "--zoom", "30,30,8"]) == 0
    sheet = read_picture(out)
    assert sheet.dtype == np.uint8
    assert tuple(sheet.pixels[5, 5]) == (128, 128, 128)
    assert tuple(sheet.pixels[5, 40 + 2 * 4 + 3]) == (255, 255, 255)


def test_equal_names_are_told_apart_by_their_folders():
    from fusionkit.cli.compare import _labels

    assert _labels(None, ["ours/07.png", "theirs/07.jpg"]) == ["ours/07", "theirs/07"]
    assert _labels(None, ["ours/07.png", "theirs/08.jpg"]) == ["07", "08"]
    assert _labels("A, B", ["ours/07.png", "theirs/08.jpg"]) == ["A", "B"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--zoom", "100,10,40"], "not inside the images, which are 120x90"),
        (["--zoom=-1,0,10"], "not inside"),
        (["--zoom", "0,0,0"], "not inside"),
        (["--zoom", "1,2"], "expected X,Y,SIZE"),
        (["--zoom", "1,2,x"], "expected X,Y,SIZE"),
        (["--zoom", "0,0,9"] * 9, "9 zooms: there are colours for 8"),
        (["--labels", "a,b"], "2 labels for 3 images"),
        (["--columns", "0"], "at least 1"),
        (["--bogus"], "unknown argument"),
    ],
)
def test_bad_requests(images, tmp_path, flags, message):
    out = tmp_path / "sheet.png"
    with pytest.raises(UsageError, match=message):
        main([*images, "-o", str(out), *flags])
    assert not out.exists()


def test_bad_files(images, tmp_path):
    out = str(tmp_path / "sheet.png")
    Image.new("L", (50, 50)).save(tmp_path / "small.png")
    small = str(tmp_path / "small.png")
    with pytest.raises(UsageError, match=r"small\.png is 50x50: images to compare have one size"):
        main([images[0], small, "-o", out])
    with pytest.raises(UsageError, match="no such file"):
        main([images[0], str(tmp_path / "none.png"), "-o", out])
    with pytest.raises(UsageError, match="two or more"):
        main([images[0], "-o", out])
    with pytest.raises(UsageError, match="names no format"):
        main([*images, "-o", str(tmp_path / "sheet.gif")])


def test_where_a_sheet_goes(images, tmp_path):
    with pytest.raises(UsageError, match=r"-o OUT, for example -o sheet\.png"):
        main(images)
    with pytest.raises(UsageError, match="is a file, not a folder"):
        main([*images, "-o", f"{images[0]}/a/sheet.png"])
    assert main([*images, "-o", str(tmp_path / "a" / "b" / "sheet.png")]) == 0
    assert Image.open(tmp_path / "a" / "b" / "sheet.png").format == "PNG"


def test_an_existing_sheet_is_kept_unless_overwritten(images, tmp_path):
    out = tmp_path / "sheet.png"
    out.write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        main([*images, "-o", str(out)])
    assert out.read_text() == "mine"
    assert main([*images, "-o", str(out), "--overwrite"]) == 0
    assert Image.open(out).format == "PNG"


@pytest.mark.slow
def test_no_torch_is_imported(images, tmp_path):
    code = (
        "import sys; from fusionkit.cli.compare import main; "
        f"assert main({[*images, '-o', str(tmp_path / 'sheet.webp')]!r}) == 0; "
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
