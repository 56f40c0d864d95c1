"""The shared building blocks against numpy and scipy."""

import math

import numpy as np
import pytest
import torch
from fusionkit_metrics.filters import box, extend, gaussian, gradients, smooth
from fusionkit_metrics.fmi import meyer_filters
from fusionkit_metrics.histograms import bits, entropy, levels, pairs
from scipy.ndimage import prewitt, sobel
from scipy.signal import correlate2d

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("taps", [gaussian(3, 0.6), box(8), gaussian(11, 1.5), gaussian(17, 3.4)])
@pytest.mark.parametrize("more", [(0, 0), (1, 31), (32, 33), (63, 100)])
def test_smooth(taps: tuple[float, ...], more: tuple[int, int]) -> None:
    images = RNG.random((2, 3, len(taps) + more[0], len(taps) + more[1]))
    expected = [
        [correlate2d(image, np.outer(taps, taps), "valid") for image in row] for row in images
    ]
    assert sum(taps) == pytest.approx(1)
    np.testing.assert_allclose(smooth(torch.tensor(images), taps), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("step", [2, 3])
@pytest.mark.parametrize("size", [(9, 10), (40, 71), (72, 73), (135, 136)])
def test_smooth_at_every_other_pixel(step: int, size: tuple[int, int]) -> None:
    images, taps = torch.tensor(RNG.random((2, *size))), gaussian(9, 2)
    expected = smooth(images, taps)[..., ::step, ::step]
    torch.testing.assert_close(smooth(images, taps, step), expected, rtol=0, atol=1e-13)


def test_smooth_takes_views() -> None:
    image = torch.tensor(RNG.random((90, 70)))
    turned = smooth(image.mT, gaussian(9, 2))
    torch.testing.assert_close(turned, smooth(image, gaussian(9, 2)).mT)


def test_density() -> None:
    assert gaussian(31, 2, normalised=False)[15] == pytest.approx(1 / (2 * math.sqrt(2 * math.pi)))


@pytest.mark.parametrize(("mode", "numpys"), [("replicate", "edge"), ("reflect", "reflect")])
def test_extend(mode: str, numpys: str) -> None:
    image = RNG.random((3, 4))
    expected = np.pad(image, [(0, 0), (7, 9)], numpys)  # type: ignore[call-overload]
    np.testing.assert_array_equal(extend(torch.tensor(image), 7, 9, -1, mode), expected)


def test_extend_symmetrically_beyond_the_image() -> None:
    image = RNG.random((3, 4))
    expected = np.pad(image, [(8, 10), (0, 0)], "symmetric")
    np.testing.assert_array_equal(extend(torch.tensor(image), 8, 10, -2, "symmetric"), expected)


@pytest.mark.parametrize(
    ("border", "scipys"), [("zero", "constant"), ("replicate", "nearest"), ("reflect", "mirror")]
)
def test_gradients(border: str, scipys: str) -> None:
    image = RNG.random((9, 11)) * 255
    for centre, operator in ((2.0, sobel), (1.0, prewitt)):
        across, down = gradients(torch.tensor(image), border, centre)
        np.testing.assert_allclose(across, operator(image, 1, mode=scipys), atol=1e-11)
        np.testing.assert_allclose(down, operator(image, 0, mode=scipys), atol=1e-11)


def test_histograms_of_a_batch() -> None:
    images = torch.tensor(RNG.random((3, 20, 30)) * 300 - 20)
    grey = levels(images)
    assert int(grey.min()) == 0
    assert int(grey.max()) == 255
    for b in range(3):
        counts = np.bincount(grey[b].numpy(), minlength=256)
        p = counts[counts > 0] / 600
        assert float(entropy(grey)[b]) == pytest.approx(-(p * np.log2(p)).sum())
        both = np.histogram2d(grey[b], grey[(b + 1) % 3], bins=256, range=[[0, 256]] * 2)[0]
        p = both[both > 0] / 600
        joint = bits(pairs(grey, grey.roll(-1, 0)))
        assert float(joint[b]) == pytest.approx(-(p * np.log2(p)).sum())


def test_meyer_filters_are_orthogonal_wavelet_filters() -> None:
    low, high = (np.array(taps) for taps in meyer_filters())
    assert low.sum() == pytest.approx(math.sqrt(2), abs=1e-4)
    assert high.sum() == pytest.approx(0, abs=1e-4)
    for shift in range(0, 20, 2):
        inner = (low[: len(low) - shift] * low[shift:]).sum()
        assert inner == pytest.approx(float(shift == 0), abs=1e-4)
    # High-pass values are centred one pixel further on.
    for shift in range(-19, 20, 2):
        wide = np.pad(high, 40)
        assert (np.pad(low, 40) * np.roll(wide, shift)).sum() == pytest.approx(0, abs=1e-4)
