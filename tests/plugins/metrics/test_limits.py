"""Constant, identical and black images; tiny ones; the wrong number of sources."""

import math

import pytest
import torch

from .common import NAMES, REFERENCED, TWO_SOURCES, metric, scene, value

FUSED, SOURCES = scene(64, 70)
FLAT = torch.full_like(FUSED, 128.0)
BLACK, WHITE = torch.zeros_like(FUSED), torch.full_like(FUSED, 255.0)
HARD = {
    "constant fused image": (FLAT, *SOURCES),
    "black fused image": (BLACK, *SOURCES),
    "constant sources": (FUSED, FLAT, WHITE),
    "one black source": (FUSED, SOURCES[0], BLACK),
    "constant images": (FLAT, FLAT, FLAT),
    "different constant images": (FLAT, BLACK, WHITE),
    "black images": (BLACK, BLACK, BLACK),
    "white images": (WHITE, WHITE, WHITE),
    "identical images": (FUSED, FUSED, FUSED),
    "fused is one source": (SOURCES[0], *SOURCES),
    "opposite sources": (FLAT, 255 - SOURCES[0], SOURCES[0]),
    "constant but for rounding": (FLAT + FUSED * 1e-15, FLAT - FUSED * 1e-15, FLAT),
    "black and white": (*[(torch.rand(64, 70) < 0.5) * 255.0 for _ in range(3)],),
}


@pytest.mark.parametrize("case", HARD)
@pytest.mark.parametrize("name", NAMES)
def test_a_defined_number_within_bounds(name: str, case: str) -> None:
    got = value(name, *HARD[case])
    low, high = metric(name).bounds  # type: ignore[attr-defined]
    assert math.isfinite(got)
    assert low - 1e-9 <= got <= high + 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_constant_images_have_the_documented_values(name: str) -> None:
    expected = {
        **dict.fromkeys(("ag", "cc", "ei", "en", "mi", "mse", "nmi", "scd", "sd", "sf"), 0.0),
        **dict.fromkeys(("nabf", "qcv", "ce", "qsf", "rmse"), 0.0),
        "mef-ssimc": 1.0,
        **dict.fromkeys(("fmi-pixel", "fmi-wavelet", "mef-ssim", "qcb", "qe", "qw", "qy"), 1.0),
        **dict.fromkeys(("ssim", "vif"), 2.0),
        "psnr": 100.0,
        "qabf": 0.97480,
    }
    for image in (FLAT, BLACK, WHITE):
        assert value(name, image, image, image) == pytest.approx(expected[name], abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_least_size(name: str) -> None:
    least = metric(name).least_side  # type: ignore[attr-defined]
    for height, width in ((least, least), (least, 90), (90, least)):
        fused, sources = scene(height, width)
        assert math.isfinite(value(name, fused, *sources))
    fused, sources = scene(90, 90)
    with pytest.raises(ValueError, match=f"{name} needs images of at least {least} x {least}"):
        value(name, fused[: least - 1], *sources[:, : least - 1])


@pytest.mark.parametrize("name", NAMES)
def test_tiny_images(name: str) -> None:
    fused, sources = scene(16, 16)
    least = metric(name).least_side  # type: ignore[attr-defined]
    if least > 16:
        with pytest.raises(ValueError, match="at least 41 x 41 pixels, not 16 x 16"):
            value(name, fused, *sources)
    else:
        assert math.isfinite(value(name, fused, *sources))


def test_only_two_metrics_need_more_than_sixteen_pixels() -> None:
    needing = [n for n in NAMES if metric(n).least_side > 16]  # type: ignore[attr-defined]
    assert needing == ["mef-ssim", "vif"]


@pytest.mark.parametrize("name", TWO_SOURCES)
@pytest.mark.parametrize("K", [1, 3])
def test_two_sources_only(name: str, K: int) -> None:
    fused, sources = scene(K=K)
    assert metric(name).sources == 2
    with pytest.raises(ValueError, match=f"{name} is defined for 2 sources only, .* {K}"):
        value(name, fused, *sources)


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(TWO_SOURCES)))
def test_any_number_of_sources(name: str) -> None:
    assert metric(name).sources == "any"
    for K in (1, 4):
        fused, sources = scene(44, 44, K=K)
        assert math.isfinite(value(name, fused, *sources))


@pytest.mark.parametrize("name", REFERENCED)
def test_a_ground_truth_as_the_only_source(name: str) -> None:
    truth, _ = scene()
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    scores = [value(name, truth + sigma * noise, truth) for sigma in (0, 2, 8)]
    better = metric(name).higher_is_better
    assert scores == sorted(scores, reverse=better)


@pytest.mark.parametrize(
    ("fused", "sources"),
    [
        ((1, 1, 50, 50), (2, 1, 1, 50, 51)),
        ((50, 50), (2, 50, 50)),
        ((1, 3, 50, 50), (2, 1, 3, 50, 50)),
    ],
)
def test_shapes_that_do_not_go_together(fused: tuple[int, ...], sources: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"ssim: expects fused \(B, 1, H, W\)"):
        metric("ssim")(torch.zeros(fused), torch.zeros(sources))


def test_no_sources_at_all() -> None:
    with pytest.raises(ValueError, match="needs 1 sources or more, not 0"):
        metric("en")(torch.zeros(1, 1, 50, 50), torch.zeros(0, 1, 1, 50, 50))
