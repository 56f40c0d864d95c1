"""The preparation: what it does to scenes, what it leaves, what the record says of it."""

import json

import numpy as np
import pytest
import torch
from fusionkit_alignment.align import Align
from fusionkit_alignment.motion import still
from fusionkit_alignment.resampling import Places, moved_picture, resampled
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data

import fusionkit
from fusionkit.cli import main
from fusionkit.imaging import picture_from_array
from fusionkit.testing.doubles import WhiteGaussian

from .common import SIZE, eight_bit, error, motion, photograph, seen

SETTINGS = {
    "estimator": WhiteGaussian(channels=None),
    "weighting": "saliency",
    "objective": {"name": "mse", "strength": 0.0},
    "steps": 1,
}


def stored(image, dtype=np.uint8):
    return np.rint(image * np.iinfo(dtype).max).astype(dtype)


def shift(x, y):
    matrix = np.eye(3)
    matrix[:2, 2] = x, y
    return matrix


@pytest.fixture(scope="module")
def pair():
    """A photograph sharp on the left, and one sharp on the right from elsewhere."""
    # As a lens gives it: finer than its pixels, no image can be moved without loss.
    photo = gaussian_filter(photograph("camera"), 0.7)
    truth = motion(3, shift=8, degrees=1, growth=0.01)
    left = np.arange(SIZE[1]) < SIZE[1] / 2
    at = seen(photo, still())
    near = np.where(left, at, gaussian_filter(at, 2))
    far, far_moved = (
        np.where(left, gaussian_filter(image, 2), image) for image in (at, seen(photo, truth))
    )
    taken = [stored(eight_bit(image, 2, seed)) for seed, image in enumerate((near, far, far_moved))]
    return stored(at), *taken, truth


def psnr(image, truth):
    inside = (slice(16, -16), slice(16, -16))
    return -10 * np.log10(np.mean((image[inside] / 255.0 - truth[inside] / 255.0) ** 2))


@pytest.mark.slow
def test_what_is_fused_is_nearly_as_good_as_of_aligned_sources(pair):
    truth, near, far, far_moved, matrix = pair
    aligned = psnr(fusionkit.fuse([near, far], **SETTINGS).image, truth)
    made = fusionkit.fuse([near, far_moved], align="auto", **SETTINGS)
    assert psnr(made.image, truth) > aligned - 1
    assert psnr(fusionkit.fuse([near, far_moved], **SETTINGS).image, truth) < aligned - 5
    said = made.record["preparations"]["align"]["sources"]["2"]
    assert said["model"] == "similarity"
    assert error(np.array(said["matrix"]), matrix) < 0.3


def test_what_lies_well_is_left_to_the_last_bit(pair):
    _, near, far, _, _ = pair
    made = fusionkit.fuse([near, far], align="auto", **SETTINGS)
    as_it_was = fusionkit.fuse([near, far], **SETTINGS)
    assert np.array_equal(made.image, as_it_was.image)
    assert any("left as it is" in note for note in made.record["warnings"])
    none = fusionkit.fuse([near, far], align="none", **SETTINGS)
    assert np.array_equal(none.image, as_it_was.image)


def test_what_a_moved_source_does_not_show_is_taken_from_the_others():
    photo = photograph("chelsea")
    here, there = stored(seen(photo, still())), stored(seen(photo, shift(30, 0)))
    there[:, :2] = 0  # what would come in from the border is as dark as can be
    made = fusionkit.fuse([here, there], align="translation", **SETTINGS).image
    difference = abs(made.astype(int) - here)
    assert difference[:, -28:].max() <= 1  # shown by the first alone
    assert difference.mean() < 3


def test_colour_and_depth_are_kept():
    photo = data.astronaut()
    truth = shift(5.5, -3.25)
    images = [
        np.stack([seen(photo[..., c] / 255, matrix) for c in range(3)], -1)
        for matrix in (still(), truth)
    ]
    first, second = (stored(image, np.uint16) for image in images)
    grey = stored(images[0].mean(-1) ** 0.5, np.uint16)
    made = fusionkit.fuse([grey, second], align="auto", **SETTINGS).image
    assert made.dtype == np.uint16
    assert made.shape == first.shape
    chroma = [image / 65535.0 - image.mean(-1, keepdims=True) / 65535.0 for image in (made, first)]
    inside = (slice(8, -8), slice(8, -8))
    assert abs(chroma[0] - chroma[1])[inside].mean() < 0.03


def test_interpolation_neither_overshoots_nor_moves_what_lies_on_pixels():
    random = np.random.default_rng(0)
    steps = (random.random((1, 40, 50)) > 0.5).astype(np.float32)
    places = Places(shift(0.4, -0.3), (40, 50))
    made = places.of(steps)
    assert 0 <= made.min() < made.max() <= 1
    assert np.array_equal(Places(still(), (40, 50)).of(steps), steps)
    smooth = np.sin(np.arange(50) / 5.0)[None, None].repeat(40, 1)
    x, y = Places(shift(0.5, 0), (40, 50)).points()
    difference = resampled(smooth, (x, y))[0] - np.sin(x / 5)
    assert abs(difference[:, 5:-5]).max() < 5e-3  # at crests, which are cut off


def test_a_moved_picture_keeps_alpha_type_and_what_it_was_measured_of():
    image = stored(seen(photograph("coffee"), still()), np.uint16)
    alpha = np.full(SIZE, 65535, np.uint16)
    alpha[:20] = 0
    picture = picture_from_array(np.dstack([image] * 3 + [alpha]), "a")
    moved = moved_picture(picture, Places(shift(7, 4), SIZE))
    assert moved.pixels.dtype == moved.alpha.dtype == np.uint16
    assert np.array_equal(moved.pixels[:-4, :-7], picture.pixels[4:, 7:])
    assert np.array_equal(moved.alpha[:-4, :-7], alpha[4:, 7:])
    assert moved.mask[:-4, :-7].all()
    assert not moved.mask[:, -7:].any()


@pytest.mark.slow
def test_a_source_of_fewer_pixels_is_moved_on_its_own_grid():
    photo = photograph("camera")
    sharp = seen(photo, still())
    blocks = seen(photo, shift(8, -6)).reshape(SIZE[0] // 2, 2, SIZE[1] // 2, 2).mean((1, 3))
    made = fusionkit.fuse([stored(sharp), stored(blocks)], align="translation", **SETTINGS)
    said = made.record["preparations"]["align"]["sources"]["2"]
    assert error(np.array(said["matrix"]), shift(8, -6)) < 0.2
    assert abs(made.image / 255.0 - sharp).mean() < 0.03


@pytest.mark.slow
def test_flow_follows_parallax():
    pytest.importorskip("cv2")
    photo = photograph("astronaut")
    here = seen(photo, still())
    columns = np.arange(SIZE[1])
    nearer = (columns > 80) & (columns < 160)
    there = np.where(nearer, seen(photo, shift(3, 0)), here)
    pair = [stored(here), stored(there)]
    rigid = fusionkit.fuse(pair, align="similarity", **SETTINGS).image
    flow = fusionkit.fuse(pair, align="flow", **SETTINGS).image
    inside = (slice(10, -10), slice(95, 145))
    assert psnr(flow[inside], pair[0][inside]) > psnr(rigid[inside], pair[0][inside]) + 6


def test_flow_without_opencv_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(fusionkit.UsageError, match=r"pip install 'fusionkit-imaging\[align\]'"):
        Align("flow")
    Align("auto")


@pytest.mark.slow
def test_the_same_bytes_on_any_number_of_threads(pair):
    _, near, _, far, _ = pair
    images, threads = [], torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            images += [
                fusionkit.fuse([near, far], align=model, **SETTINGS).image
                for model in ("homography", "flow")
            ]
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(images[0], images[2])
    assert np.array_equal(images[1], images[3])


@pytest.mark.slow
def test_a_record_aligns_in_the_same_way(pair, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, image in (("a.png", pair[1]), ("b.png", pair[3])):
        Image.fromarray(image).save(name)
    how = ["--estimator", "gaussian", "--weighting", "saliency", "--steps", "1"]
    assert main(["run", "a.png", "b.png", "-o", "c.png", "--align", "auto", *how]) == 0
    assert "b.png" not in capsys.readouterr().err
    assert main(["run", "a.png", "b.png", "-o", "d.png", "--recipe", "c.png.json"]) == 0
    assert (tmp_path / "c.png").read_bytes() == (tmp_path / "d.png").read_bytes()
    record = json.loads((tmp_path / "c.png.json").read_text())
    assert record["recipe"]["preparations"]["align"]["model"] == "auto"
    assert main(["run", "a.png", "b.png", "-o", "e.png", "--align", "rigid", *how]) == 2
    assert "rigid" in capsys.readouterr().err


@pytest.mark.slow
def test_an_unknown_motion_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(stored(seen(photograph("camera"), still()))).save("a.png")
    Image.fromarray(np.full(SIZE, 90, np.uint8)).save("b.png")
    how = ["--estimator", "gaussian", "--weighting", "saliency", "--steps", "1"]
    assert main(["run", "a.png", "b.png", "-o", "c.png", "--align", "similarity", *how]) == 2
    said = capsys.readouterr().err
    assert "b.png: it has no texture" in said
    assert "Traceback" not in said
    assert main(["run", "a.png", "b.png", "-o", "c.png", "--align", "auto", *how]) == 0
    assert "b.png: it has no texture" in capsys.readouterr().err
