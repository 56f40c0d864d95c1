"""Target contrast: squares in glare, whose values are computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

import fusionkit
from fusionkit.evaluation.meter import Meter

from .common import metric, value

NAME = "target-contrast"
SIZE = 96, 120
SQUARE = slice(40, 52), slice(60, 72)
OTHER = slice(10, 20), slice(12, 22)


def plain(grey: float, *squares: tuple[tuple[slice, slice], float]) -> torch.Tensor:
    image = torch.full(SIZE, grey, dtype=torch.float64)
    for place, level in squares:
        image[place] = level
    return image


HOT = plain(40, (SQUARE, 240))
GLARE = plain(200)


@pytest.mark.parametrize(
    ("fused", "expected"),
    [
        (HOT, 1.0),
        ((HOT + GLARE) / 2, 0.5),
        (torch.maximum(HOT, GLARE), 0.2),  # 40 of 200 levels are left in the glare
        (GLARE, 0.0),
        (255 - HOT, 0.0),  # reversed is lost
        (2 * HOT - 100, 1.0),  # more than a source has is no gain
        (HOT / 4 + 100, 0.25),
    ],
)
def test_a_hot_square_in_glare(fused, expected):
    assert value(NAME, fused, HOT, GLARE) == pytest.approx(expected, abs=1e-12)


def test_the_larger_contrast_of_the_sources_counts():
    lit = plain(100, (SQUARE, 130))  # seen by light, too: 30 levels beside 200
    assert value(NAME, lit, HOT, lit) == pytest.approx(0.15)
    hotter = plain(0, (SQUARE, 250))
    assert value(NAME, HOT, HOT, hotter) == pytest.approx(0.8)
    darker = plain(100, (SQUARE, 50))
    assert value(NAME, HOT, HOT, darker) == pytest.approx(1.0)


def test_all_targets_count_alike():
    two = plain(40, (SQUARE, 240), (OTHER, 140))
    fused = plain(40, (SQUARE, 140), (OTHER, 140))
    assert value(NAME, fused, two, GLARE) == pytest.approx((0.5 + 1) / 2)


def test_the_surround_has_neither_outline_nor_other_targets():
    near = slice(40, 52), slice(75, 87)
    pair = plain(40, (SQUARE, 240), (near, 240))
    half = plain(40, (SQUARE, 140), (near, 140))
    assert value(NAME, half, pair, GLARE) == pytest.approx(0.5)
    haloed = HOT.clone()
    haloed[38:54, 58:74] = 150  # within two pixels around it
    haloed[SQUARE] = 240
    assert value(NAME, haloed, HOT, GLARE) == pytest.approx(1.0)


def test_cold_targets_and_both():
    cold = 255 - HOT
    assert math.isnan(value(NAME, cold, cold, GLARE))
    assert value(NAME, (cold + GLARE) / 2, cold, GLARE, polarity="cold") == pytest.approx(0.5)
    both = plain(128, (SQUARE, 228), (OTHER, 28))
    half = plain(128, (SQUARE, 228), (OTHER, 78))
    assert value(NAME, half, both, GLARE, polarity="both") == pytest.approx(0.75)


def test_the_source_that_has_the_targets_is_said():
    fused = (HOT + GLARE) / 2
    assert math.isnan(value(NAME, fused, GLARE, HOT))
    assert value(NAME, fused, GLARE, HOT, source=2) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="needs 3 sources"):
        value(NAME, fused, GLARE, HOT, source=3)


def test_boxes_by_hand():
    wide = plain(40, ((slice(0, 60), slice(0, 80)), 140))
    fused = plain(40, ((slice(0, 60), slice(0, 80)), 70))
    assert value(NAME, fused, wide, GLARE, boxes=(0, 0, 80, 60)) == pytest.approx(0.3)
    with pytest.raises(fusionkit.UsageError, match="four whole numbers"):
        metric(NAME, boxes=(1, 2, 3))
    with pytest.raises(ValueError, match=r"box 100,0,80,60 lies outside of an image of 120 x 96"):
        value(NAME, fused, wide, GLARE, boxes=(100, 0, 80, 60))


@pytest.mark.parametrize(
    "source",
    [
        plain(128),
        plain(128, (SQUARE, 147)),  # 19 grey levels
        plain(128, ((slice(40, 43), slice(60, 65)), 250)),  # 15 pixels
        plain(40, ((slice(0, 96), slice(0, 60)), 240)),  # half of the image
        torch.rand(SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 255,
    ],
)
def test_without_a_target_nothing_is_measured(source):
    assert math.isnan(value(NAME, source, source, GLARE))


def test_smaller_and_weaker_ones_just_count():
    square = slice(40, 44), slice(60, 64)
    assert value(NAME, *[plain(128, (square, 148))] * 2, GLARE) == pytest.approx(1)


def test_what_has_no_target_is_left_out_and_no_problem():
    meter = Meter(["sd", NAME], fusionkit.load_plugins())
    values, problems = meter.measure(GLARE, torch.stack([GLARE, GLARE]))
    assert (list(values), problems) == (["sd"], {})
    values, problems = meter.measure(HOT, torch.stack([HOT, GLARE]))
    assert (values[NAME], problems) == (1, {})
