"""Known motions of photographs, as every kind of sources shows them, and what is found."""

import numpy as np
import pytest
from fusionkit_alignment.deciding import lying
from fusionkit_alignment.motion import described, distance, matrix_of, still, turned
from scipy.ndimage import gaussian_filter

from fusionkit.errors import UsageError
from fusionkit.imaging import read_picture
from tests.conftest import data_folder

from .common import SIZE, eight_bit, error, motion, photograph, seen


def found(images, model="similarity"):
    images = [np.asarray(image, np.float32) for image in images]
    return lying(images, [f"image {k + 1}" for k in range(len(images))], model)


@pytest.mark.slow
def test_photographs_are_aligned_to_a_fraction_of_a_pixel():
    errors = []
    for seed, name in enumerate(("camera", "astronaut", "chelsea", "coffee")):
        truth, photo = motion(seed), photograph(name)
        lies = found([eight_bit(seen(photo, still()), 2), eight_bit(seen(photo, truth), 2, 1)])
        errors.append(error(lies[1].matrix, truth))
        assert lies[1].error < 0.1
    assert np.median(errors) < 0.05
    assert max(errors) < 0.15


def infrared(image):
    return eight_bit(0.5 + 0.5 * np.sin(6 * image), 5)


def brighter(image):
    return eight_bit(np.clip(4 * image, 0, 1), 2)


def darker(image):
    return eight_bit(image / 4, 1)


def out_of_focus(image):
    return eight_bit(gaussian_filter(image, 3), 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "most"), [(infrared, 0.15), (brighter, 0.3), (darker, 0.15), (out_of_focus, 0.6)]
)
def test_what_sources_show_may_differ(changed, most):
    errors = []
    for seed, name in enumerate(("camera", "chelsea")):
        truth, photo = motion(seed, shift=25), photograph(name)
        lies = found([eight_bit(seen(photo, still())), changed(seen(photo, truth))])
        errors.append(error(lies[1].matrix, truth))
    assert max(errors) < most


@pytest.mark.slow
def test_a_stack_of_focus_that_breathes_is_aligned_along_itself():
    photo = photograph("camera")
    columns = np.arange(SIZE[1])
    images, truths = [], []
    for k in range(4):  # each grows by another percent, and is sharp in a strip
        truth = turned(0, 1.01**k)
        image = seen(photo, truth)
        sharp = abs(columns - (k + 0.5) * SIZE[1] / 4) < SIZE[1] / 4
        images.append(eight_bit(np.where(sharp, image, gaussian_filter(image, 4)), 1, k))
        truths.append(truth)
    lies = found(images)
    assert max(error(lies[k].matrix, truths[k]) for k in range(1, 4)) < 0.6
    assert lies[3].chained  # the first and the last share nothing that is sharp


def test_a_homography():
    truth = matrix_of(np.array([3, -4, 2, 3, -2, 1, 3, -4]), SIZE)
    photo = photograph("camera")
    lies = found([seen(photo, still()), seen(photo, truth)], "homography")
    assert error(lies[1].matrix, truth) < 0.1


@pytest.mark.slow
def test_auto_moves_what_lies_elsewhere_and_nothing_else():
    photo = photograph("chelsea")
    shift = np.eye(3)
    shift[:2, 2] = 3.25, -1.5
    here = seen(photo, still())
    lies = found([here, eight_bit(here, 5, 1), seen(photo, shift), infrared(here)], "auto")
    assert [each.model for each in lies] == ["none", "none", "translation", "none"]
    assert error(lies[2].matrix, shift) < 0.06
    assert not any(each.reason for each in lies)
    assert described(lies[2].matrix).startswith("shifted by +3.2")


@pytest.mark.slow
def test_what_shows_nothing_is_left_or_refused():
    image = seen(photograph("camera"), still())
    other = seen(photograph("coffee"), still())
    for nothing in (np.full(SIZE, 0.5), other):
        lies = found([image, nothing], "auto")[1]
        assert not lies.is_moved
        assert "say" in lies.reason
        with pytest.raises(UsageError, match=r"^image 2: it.*by auto"):
            found([image, nothing], "translation")


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (5, 7), (31, 200)])
def test_images_that_are_too_small(size):
    image = np.random.default_rng(0).random(size)
    assert "less than 32 pixels" in found([image, image], "auto")[1].reason
    with pytest.raises(UsageError, match="less than 32 pixels"):
        found([image, image])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["FLIR_00211", "FLIR_04424", "FLIR_06570"])
def test_infrared_and_visible(name):
    data = data_folder()
    if data is None:
        pytest.skip("no image data here (FUSIONKIT_DATA)")
    folder = data / "data" / "sources" / "ivif" / "roadscene"
    visible, thermal = (read_picture(folder / f"{name}_{kind}.jpg").unit() for kind in ("vi", "ir"))
    visible = visible.mean(-1) if visible.ndim == 3 else visible
    thermal = thermal.mean(-1) if thermal.ndim == 3 else thermal
    size = tuple(side - 60 for side in visible.shape)
    truth = motion(5, shift=20)
    middle = seen(visible, still(), size)
    as_it_is = found([middle, seen(thermal, still(), size)])[1].matrix
    # The pair itself is a pixel or two apart: what is known is by how much more it is moved.
    moved = found([middle, seen(thermal, truth, size)])[1].matrix
    assert distance(as_it_is, still(), size) < 4
    assert error(moved, truth @ as_it_is, size) < 1
