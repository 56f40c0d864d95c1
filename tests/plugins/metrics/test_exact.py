"""Images whose values can be worked out by hand."""

import math

import pytest
import torch

from .common import metric, scene, value

ROWS, COLUMNS = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
LEFT = torch.where(COLUMNS < 32, 40.0, 200.0).double()
TOP = torch.where(ROWS < 32, 10.0, 90.0).double()
FLAT = torch.full((64, 64), 77.0, dtype=torch.float64)
IDENTITY = ("mef-ssim", "qcb", "qy", "qw", "qe", "fmi-pixel", "fmi-wavelet", "cc")


def quarter_entropy() -> float:
    return -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))


def test_entropy_in_bits() -> None:
    assert value("en", LEFT, TOP) == pytest.approx(1)
    assert value("en", torch.where(COLUMNS < 16, 3.0, 4.0), TOP) == pytest.approx(quarter_entropy())
    assert value("en", (ROWS * 64 + COLUMNS) % 256, TOP) == pytest.approx(8)
    assert value("en", FLAT, TOP) == 0


def test_entropy_rounds_to_the_nearest_integer() -> None:
    assert value("en", torch.where(COLUMNS < 32, 99.6, 100.4), TOP) == 0
    assert value("en", torch.where(COLUMNS < 32, 99.4, 100.4), TOP) == pytest.approx(1)


def test_mutual_information_in_bits() -> None:
    assert value("mi", LEFT, LEFT, TOP) == pytest.approx(1)
    assert value("mi", LEFT + TOP, LEFT, TOP) == pytest.approx(2)
    assert value("mi", TOP, LEFT, LEFT) == pytest.approx(0, abs=1e-12)
    quarter = torch.where((COLUMNS < 32) & (ROWS < 32), 5.0, 6.0)
    shared = 1 + quarter_entropy() - 1.5  # H(A) + H(F) - H(A, F), of 1/4 1/4 1/2
    assert value("mi", quarter, LEFT) == pytest.approx(shared)
    assert value("nmi", quarter, LEFT) == pytest.approx(2 * shared / (1 + quarter_entropy()))


def test_normalised_mutual_information_of_equal_images() -> None:
    fused, _ = scene()
    assert value("nmi", fused, fused) == pytest.approx(1)
    assert value("nmi", fused, fused, fused) == pytest.approx(2)
    assert value("nmi", FLAT, FLAT) == 0


def test_contrast_and_gradients() -> None:
    checkers = 255 * ((ROWS + COLUMNS) % 2)
    assert value("sd", checkers, TOP) == pytest.approx(127.5)
    assert value("sf", checkers, TOP) == pytest.approx(255 * math.sqrt(2))
    assert value("ag", 2 * COLUMNS, TOP) == pytest.approx(2 / math.sqrt(2))
    assert value("ag", 3 * COLUMNS + ROWS, TOP) == pytest.approx(math.sqrt(10 / 2))
    assert value("ei", 2 * COLUMNS, TOP) == pytest.approx(2 * (8 * 62 + 4 * 2) / 64)
    assert [value(name, FLAT, TOP) for name in ("sd", "sf", "ag", "ei")] == [0] * 4


def test_correlation() -> None:
    assert value("cc", LEFT, LEFT, 255 - LEFT) == pytest.approx(0, abs=1e-12)
    assert value("cc", 3 * LEFT / 4 + 7, LEFT) == pytest.approx(1)
    equal = (LEFT - 120) / 80 + (TOP - 50) / 40 + 100  # two patterns, orthogonal, as strong
    assert value("cc", equal, LEFT, TOP) == pytest.approx(math.sqrt(0.5))
    assert value("cc", FLAT, LEFT, TOP) == 0
    assert value("cc", LEFT, FLAT, LEFT) == pytest.approx(0.5)


def test_sum_of_correlations() -> None:
    assert value("scd", LEFT + TOP, LEFT, TOP) == pytest.approx(2)
    assert value("scd", LEFT, LEFT, TOP) == pytest.approx(1 / math.hypot(1, 0.5))  # F - A is 0
    assert value("scd", LEFT, LEFT, LEFT) == 0  # F - B is 0 everywhere
    assert value("scd", LEFT + 5 + 1e-13, LEFT, LEFT) == 0  # or a constant, but for rounding


def test_errors_of_a_known_offset_and_of_known_noise() -> None:
    assert value("mse", FLAT + 6, FLAT) == pytest.approx(36)
    assert value("mse", FLAT, FLAT + 3, FLAT - 5) == pytest.approx(17)
    assert value("psnr", FLAT, FLAT + 3, FLAT - 5) == pytest.approx(10 * math.log10(255**2 / 17))
    noise = torch.randn(400, 400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    image = torch.full_like(noise, 100)
    assert value("mse", image + 5 * noise, image) == pytest.approx(25, rel=0.01)
    assert value("psnr", image + 5 * noise, image) == pytest.approx(34.15, abs=0.05)


def test_psnr_of_equal_images_is_capped() -> None:
    assert value("psnr", LEFT, LEFT) == 100
    assert value("psnr", LEFT + 1e-9, LEFT) == 100
    assert value("psnr", LEFT, 255 - LEFT) < 15


def test_ssim_of_constant_images_is_the_luminance_term() -> None:
    c1 = 2.55**2
    expected = (2 * 77 * 90 + c1) / (77**2 + 90**2 + c1)
    assert value("ssim", FLAT, FLAT + 13) == pytest.approx(expected)


@pytest.mark.parametrize("name", IDENTITY)
def test_identity_scores_one(name: str) -> None:
    fused, _ = scene()
    assert value(name, fused, fused, fused) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", ["ssim", "vif"])
def test_identity_scores_one_per_source(name: str) -> None:
    fused, _ = scene()
    assert value(name, fused, fused) == pytest.approx(1, abs=1e-9)
    assert value(name, fused, fused, fused, fused) == pytest.approx(3, abs=1e-9)


@pytest.mark.parametrize("name", ["mse", "qcv", "nabf"])
def test_identity_has_no_error(name: str) -> None:
    fused, _ = scene()
    assert value(name, fused, fused, fused) == pytest.approx(0, abs=1e-12)


def test_vif_of_lost_and_of_inverted_contrast() -> None:
    fused, _ = scene()
    assert value("vif", FLAT, LEFT) == 0
    ripples = 127.5 + 50 * torch.sin(COLUMNS.double()) * torch.cos(ROWS.double())
    assert value("vif", 255 - ripples, ripples) < 1e-6
    assert value("vif", 2 * (ripples - 127.5) + 127.5, ripples) > 1.1
    assert value("vif", fused[:, :64], FLAT) == 1  # it had nothing to lose


@pytest.mark.parametrize("orientation", ["paper", "wrapped"])
def test_qabf_of_identity_at_any_range(orientation: str) -> None:
    """Toolboxes that let equal strengths return the strength give .162 on 0-1 data."""
    fused, _ = scene()
    best = 0.9994 / (1 + math.exp(-7.5)) * 0.9879 / (1 + math.exp(-4.4))
    assert best == pytest.approx(0.9748, abs=5e-5)
    bounds = metric("qabf").bounds  # type: ignore[attr-defined]
    assert bounds[1] == pytest.approx(best)
    for image in (fused, fused / 255, torch.zeros(20, 20)):
        got = value("qabf", image, image, image, orientation=orientation)
        assert got == pytest.approx(best, rel=1e-9)


def test_qabf_across_the_branch_cut() -> None:
    """Edges that lean a little to either side: alike, but |Δα| is nearly π."""
    lean = 0.01
    left, right = 4 * (COLUMNS * lean + ROWS), 4 * (ROWS - COLUMNS * lean)
    inner = [image[None, None].double() for image in (left, right)]
    paper = float(metric("qabf")(inner[0], inner[1][None])[0])
    wrapped = float(metric("qabf", orientation="wrapped")(inner[0], inner[1][None])[0])
    assert paper < 0.3 < 0.9 < wrapped


def test_nabf_counts_added_edges_only() -> None:
    fused, sources = scene()
    assert value("nabf", FLAT, LEFT, TOP) == 0
    noisy = fused + 10 * torch.randn(
        fused.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    assert value("nabf", noisy, *sources) > value("nabf", fused, *sources)
    # Arguments in the wrong order make another number of it.
    right, wrong = value("nabf", fused, *sources), value("nabf", sources[0], fused, sources[1])
    assert right != pytest.approx(wrong, rel=1e-3)


def test_mef_ssim_takes_the_structure_of_the_best_exposure() -> None:
    fused, _ = scene()
    dark = torch.full_like(fused, 3.0)
    assert value("mef-ssim", fused, fused, dark) == pytest.approx(1, abs=1e-3)
    assert value("mef-ssim", dark, fused, dark) < 0.2
    # Brightness is not compared.
    assert value("mef-ssim", fused + 30, fused, dark) == pytest.approx(
        value("mef-ssim", fused, fused, dark), abs=1e-9
    )


def test_qcv_grows_with_the_difference() -> None:
    fused, _ = scene()
    small, large = (value("qcv", fused + d * COLUMNS[:, :1], fused, fused) for d in (0.1, 0.2))
    assert small == large == 0
    ripple = torch.sin(torch.arange(fused.shape[1], dtype=torch.float64) / 3)
    small, large = (value("qcv", fused + d * ripple, fused, fused) for d in (1, 2))
    assert large == pytest.approx(4 * small)
