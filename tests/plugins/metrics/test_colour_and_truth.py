"""Metrics of channels, against a ground truth, or of large images: by slow references."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve, gaussian_filter
from skimage.metrics import structural_similarity

import fusionkit
from fusionkit import FusionkitWarning

from .common import metric, scene, value
from .references import gaussian2d, windows


def in_colour(seed: int, height: int = 40, width: int = 44, K: int = 2):
    """Return a fused image (H, W, 3) and its sources (K, H, W, 3)."""
    generator = np.random.default_rng(seed)
    smooth = [
        gaussian_filter(generator.normal(size=(height, width, 3)), (2, 2, 0)) for _ in range(K)
    ]
    sources = np.clip(np.stack(smooth) * 300 + [[[[90, 120, 140]]]], 0, 255)
    fused = np.clip(sources.mean(0) + generator.normal(0, 6, sources[0].shape), 0, 255)
    return fused, sources


def value_in_colour(name: str, fused: np.ndarray, *sources: np.ndarray, **options: object) -> float:
    def tensor(image: np.ndarray) -> torch.Tensor:
        return torch.tensor(image).movedim(-1, 0)[None]

    stack = torch.stack([tensor(source) for source in sources])
    return float(metric(name, **options)(tensor(fused), stack)[0])


def test_cross_entropy_is_that_of_the_histograms():
    fused, sources = scene(50, 60)
    expected = {"half": 0.0, "skip": 0.0}
    f = np.bincount(fused.round().int().numpy().ravel(), minlength=256)
    for source in sources:
        s = np.bincount(source.round().int().numpy().ravel(), minlength=256)
        for level in range(256):
            if s[level] and f[level]:
                term = s[level] / s.sum() * np.log2(s[level] / f[level])
                expected["half"] += term / 2
                expected["skip"] += term / 2
            elif s[level]:
                expected["half"] += s[level] / s.sum() * np.log2(s[level] / 0.5) / 2
    assert expected["half"] > expected["skip"]
    for absent, found in expected.items():
        assert value("ce", fused, *sources, absent=absent) == pytest.approx(found, rel=1e-10)
    assert value("ce", sources[0], sources[0]) == pytest.approx(0)


def test_rmse_is_the_root_of_each():
    fused, sources = scene(K=3)
    expected = np.mean([np.sqrt(((s - fused.numpy()) ** 2).mean()) for s in sources.numpy()])
    assert value("rmse", fused, *sources) == pytest.approx(expected)


def test_spatial_frequency_error_is_that_of_the_paper():
    fused, sources = (images.numpy() for images in scene(33, 37))

    def frequency(*images: np.ndarray) -> float:
        total = 0.0
        for dy, dx, weight in ((0, 1, 1), (1, 0, 1), (1, 1, 0.5**0.5), (1, -1, 0.5**0.5)):
            height, width = images[0].shape
            squares = []
            for y, x in itertools.product(range(height), range(width)):
                if 0 <= x + dx < width and y + dy < height:
                    squares.append(max(abs(i[y + dy, x + dx] - i[y, x]) for i in images) ** 2)
            total += weight * np.mean(squares)
        return total**0.5

    expected = abs(frequency(fused) / frequency(*sources) - 1)
    assert value("qsf", fused, *sources) == pytest.approx(expected, rel=1e-10)
    assert value("qsf", sources[0], sources[0], sources[0]) == 0
    flat = np.full_like(fused, 9.0)
    assert value("qsf", flat, *sources) == 1
    assert value("qsf", fused, flat, flat) == 1


@pytest.mark.parametrize("size", [(176, 190), (201, 187)])
def test_ms_ssim_is_made_of_the_maps_of_scikit_image(size):
    fused, sources = scene(*size, seed=5)
    expected = 0.0
    for source in sources:
        x, y = fused.numpy(), source.numpy()
        product = 1.0
        for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
            if scale:
                x, y = (
                    z[: len(z) // 2 * 2, : z.shape[1] // 2 * 2]
                    .reshape(len(z) // 2, 2, z.shape[1] // 2, 2)
                    .mean((1, 3))
                    for z in (x, y)
                )
            how = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
            how |= {"data_range": 255, "full": True}
            similar = structural_similarity(x, y, **how)[1][5:-5, 5:-5]
            if scale < 4:  # without the luminance, which is that of the means
                a, b = (convolve(z, gaussian2d(11, 1.5), mode="mirror")[5:-5, 5:-5] for z in (x, y))
                c = (0.01 * 255) ** 2
                similar = similar / ((2 * a * b + c) / (a**2 + b**2 + c))
            product *= similar.mean() ** weight
        expected += product
    assert value("ms-ssim", fused, *sources) == pytest.approx(expected, rel=1e-9)
    assert value("ms-ssim", fused, fused) == pytest.approx(1)
    assert np.isnan(value("ms-ssim", fused[:175], *sources[:, :175]))


def test_gmsd_is_that_of_the_paper():
    fused, sources = scene(42, 50, K=1)
    kernel = np.array([[1, 0, -1]] * 3) / 3
    magnitudes = []
    for image in (fused.numpy(), sources[0].numpy()):
        small = image.reshape(21, 2, 25, 2).mean((1, 3))
        parts = [convolve(small, k, mode="constant") for k in (kernel, kernel.T)]
        magnitudes.append(np.hypot(*parts))
    a, b = magnitudes
    similar = (2 * a * b + 170) / (a**2 + b**2 + 170)
    assert value("gmsd", fused, *sources) == pytest.approx(similar.std(ddof=1), rel=1e-10)


def test_the_spectral_angle_is_that_of_the_vectors():
    fused, sources = in_colour(1, K=1)
    truth = sources[0]
    fused[0, 0] = truth[0, 0] = 0
    fused[0, 1] = 0
    expected = []
    for y, x in np.ndindex(fused.shape[:2]):
        a, b = fused[y, x], truth[y, x]
        lengths = np.linalg.norm(a) * np.linalg.norm(b)
        angle = np.degrees(np.arccos(np.clip(a @ b / lengths, -1, 1))) if lengths else 90.0
        expected.append(0.0 if not a.any() and not b.any() else angle)
    assert value_in_colour("sam", fused, truth) == pytest.approx(np.mean(expected), rel=1e-9)
    assert value_in_colour("sam", truth / 2, truth) == pytest.approx(0, abs=1e-5)
    assert np.isnan(value("sam", fused[..., 0], truth[..., 0]))


def test_ergas_is_that_of_the_book():
    fused, sources = in_colour(2, K=1)
    truth = sources[0]
    parts = [((f - t) ** 2).mean() / t.mean() ** 2 for f, t in zip(fused.T, truth.T, strict=True)]
    for ratio in (1.0, 0.25):
        expected = 100 * ratio * np.mean(parts) ** 0.5
        assert value_in_colour("ergas", fused, truth, ratio=ratio) == pytest.approx(expected)


def q(first: np.ndarray, second: np.ndarray) -> float:
    found = []
    for a, b in windows(32, first, second):
        shared = ((a - a.mean()) * (b - b.mean())).mean()
        structure = 2 * shared / (a.var() + b.var())
        found.append(2 * a.mean() * b.mean() / (a.mean() ** 2 + b.mean() ** 2) * structure)
    return float(np.mean(found))


@pytest.mark.parametrize("ratio", [2, 4])
def test_qnr_is_that_of_the_paper(ratio):
    fused, sources = in_colour(3)
    colours, pan = sources[0], np.repeat(sources[1][..., :1], 3, -1)
    sigma = ratio * np.sqrt(-2 * np.log(0.3)) / np.pi
    low = gaussian_filter(pan[..., 0], sigma, mode="nearest", radius=int(np.ceil(4 * sigma)))
    spectral = [
        abs(q(fused[..., i], fused[..., j]) - q(colours[..., i], colours[..., j]))
        for i, j in itertools.permutations(range(3), 2)
    ]
    spatial = [abs(q(fused[..., i], pan[..., 0]) - q(colours[..., i], low)) for i in range(3)]
    expected = (1 - np.mean(spectral)) * (1 - np.mean(spatial))
    for order in ((colours, pan), (pan, colours)):
        assert value_in_colour("qnr", fused, *order, ratio=ratio) == pytest.approx(
            expected, rel=1e-8
        )
    assert np.isnan(value_in_colour("qnr", fused, colours, colours))
    assert np.isnan(value_in_colour("qnr", fused, pan, pan))


@pytest.mark.parametrize("K", [2, 3])
def test_mef_ssim_of_colour_is_that_of_its_patches(K):
    fused, sources = in_colour(4, 16, 18, K)
    window = gaussian2d(11, 1.5)[..., None] / 3
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    split = [list(windows(11, image)) for image in sources]
    means = np.array([[(window * p).sum() for (p,) in patches] for patches in split])
    of_all = np.exp(-((means.mean(1) / 255 - 0.5) ** 2) / 0.08)
    found = []
    for n, (f,) in enumerate(windows(11, fused)):
        patches = [each[n][0] for each in split]
        variances = [
            (window * (p - m) ** 2).sum() for p, m in zip(patches, means[:, n], strict=True)
        ]
        best = int(np.argmax(variances))
        mean_f = (window * f).sum()
        shared = (window * (f - mean_f) * (patches[best] - means[best, n])).sum()
        variance_f = (window * (f - mean_f) ** 2).sum()
        weights = of_all * np.exp(-((means[:, n] / 255 - 0.5) ** 2) / 0.08)
        wanted = (weights * means[:, n]).sum() / weights.sum()
        light = (2 * wanted * mean_f + c1) / (wanted**2 + mean_f**2 + c1)
        found.append(light * (2 * shared + c2) / (variances[best] + variance_f + c2))
    expected = np.mean(found)
    assert value_in_colour("mef-ssimc", fused, *sources) == pytest.approx(expected, rel=1e-9)


def test_a_ground_truth_is_asked_for_where_there_is_one():
    fused, (truth, other) = (image.astype(np.uint8) for image in in_colour(5))
    names = ["sam", "ergas", "gmsd", "en"]
    assert list(fusionkit.evaluate(fused, [truth, other], metrics=names)) == ["en"]
    found = fusionkit.evaluate(fused, [truth, other], metrics=names, reference=truth)
    against = {name: found[f"truth-{name}"] for name in ("sam", "ergas", "gmsd")}
    assert list(found) == ["en", "truth-psnr", "truth-ssim", *(f"truth-{name}" for name in against)]
    assert against["sam"] == pytest.approx(value_in_colour("sam", *map(np.float64, (fused, truth))))
    options = {"ergas": {"ratio": 0.25}}
    quarter = fusionkit.evaluate(
        fused, [truth, other], metrics=["ergas"], reference=truth, metric_options=options
    )
    assert quarter["truth-ergas"] == pytest.approx(against["ergas"] / 4)


def test_colour_is_compared_with_colour():
    fused, sources = in_colour(6)
    fused, sources = fused.astype(np.uint8), sources.astype(np.uint8)
    expected = value_in_colour("mef-ssimc", *map(np.float64, (fused, *sources)))
    how = {"metrics": ["mef-ssimc"]}
    assert fusionkit.evaluate(fused, list(sources), **how)["mef-ssimc"] == pytest.approx(expected)
    # A fusion of luma is no fusion of colours, and one of grey images has but one channel.
    assert fusionkit.evaluate(fused[..., 0], list(sources), **how) == {}
    grey = value("mef-ssimc", *map(np.float64, (fused[..., 0], *sources[..., 0])))
    found = fusionkit.evaluate(fused[..., 0], list(sources[..., 0]), **how)
    assert found["mef-ssimc"] == pytest.approx(grey)


def test_a_metric_of_your_own_is_measured_by():
    class Brightness(fusionkit.BaseMetric):
        higher_is_better, convention, sources = True, "the mean", "any"

        def __call__(self, fused, sources):
            return fused.mean((1, 2, 3))

    image = np.full((20, 20), 7, np.uint8)
    found = fusionkit.evaluate(image, [image, image], metrics=["en", Brightness()])
    assert found == {"en": 0, "given:brightness": 7}
    with pytest.warns(FusionkitWarning, match="mef-ssim: .*at least 41"):
        assert fusionkit.evaluate(image, [image, image], metrics=["mef-ssim"]) == {}
