"""Alpha: kept where all sources agree; elsewhere a source counts where it is opaque."""

from __future__ import annotations

import numpy as np
import pytest

from fusionkit.errors import ImageError
from fusionkit.imaging import common_alpha, from_unit, full_scale, picture_from_array


def picture(samples, name="a"):
    return picture_from_array(samples, name)


def with_alpha(grey, alpha, name="a"):
    return picture(np.dstack([grey, alpha.astype(grey.dtype)]), name)


def test_no_alpha(make):
    assert common_alpha([picture(make()), picture(make())]) == (None, None)


def test_opaque_alpha_counts_as_none_and_is_kept(make):
    grey = make()
    alpha, shown = common_alpha([picture(grey), with_alpha(grey, np.full_like(grey, 255))])
    assert shown is None
    np.testing.assert_array_equal(alpha, np.ones((7, 9)))


def test_alpha_is_kept_where_all_agree_at_every_depth(make):
    shallow, deep = make("uint8"), make("uint16")
    alpha = make("uint8")
    pictures = [with_alpha(shallow, alpha), with_alpha(deep, alpha.astype(np.uint16) * 257)]
    for order in (pictures, pictures[::-1]):
        unit, shown = common_alpha(order)
        assert shown is None
        np.testing.assert_array_equal(
            from_unit(unit, "uint16", *full_scale("uint16")), alpha.astype(np.uint16) * 257
        )
        np.testing.assert_array_equal(from_unit(unit, "uint8", 0, 255), alpha)


def test_alpha_reduced_to_eight_bits_agrees_with_its_origin(make):
    fine = make("uint16")
    coarse = np.rint(fine / 257).astype(np.uint8)
    pictures = [with_alpha(make("uint8"), coarse), with_alpha(make("uint16"), fine)]
    unit, shown = common_alpha(pictures)
    assert shown is None
    np.testing.assert_array_equal(from_unit(unit, "uint16", 0, 65535), fine)


@pytest.mark.parametrize("opaque", [False, True])
def test_alphas_that_differ(make, opaque):
    """The result is as opaque as the most opaque; what is less than half as opaque is not shown."""
    alpha = np.full((7, 9), 255)
    other = alpha.copy()
    other[3, 3:6] = (0, 127, 128)
    second = picture(make()) if opaque else with_alpha(make(), alpha)
    unit, shown = common_alpha([with_alpha(make(), other), second])
    np.testing.assert_array_equal(unit, np.ones((7, 9)))
    assert shown[1].all()
    assert shown[0, 3, 3:6].tolist() == [False, False, True]
    assert shown[0].sum() == 61


def test_what_is_transparent_in_all_is_shown_by_none(make):
    one, two = np.full((7, 9), 255), np.full((7, 9), 255)
    one[:, :4], two[:, 3:] = 0, 0
    unit, shown = common_alpha([with_alpha(make(), one), with_alpha(make(), two)])
    np.testing.assert_array_equal(unit[:, 3], 0)
    np.testing.assert_array_equal(np.delete(unit, 3, axis=1), 1)
    assert not shown[:, :, 3].any()
    np.testing.assert_array_equal(shown[0], one > 0)


def test_half_transparent_sources_count_beside_transparent_ones(make):
    one, two = np.full((7, 9), 90), np.full((7, 9), 90)
    two[0] = 0
    unit, shown = common_alpha([with_alpha(make(), one), with_alpha(make(), two)])
    np.testing.assert_allclose(unit, 90 / 255)
    assert shown[0].all()
    assert not shown[1, 0].any()


def test_alpha_that_is_no_number():
    samples = np.full((4, 4, 2), 0.5)
    samples[1, 1, 1] = np.nan
    with pytest.raises(ImageError, match="alpha channel holds NaN"):
        picture(samples)
