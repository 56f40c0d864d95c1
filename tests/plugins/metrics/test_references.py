"""Every metric that no library has, against a slow reference from its definition."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fusionkit_metrics.fmi import meyer_bands
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from . import references
from .common import scene, value

TWO = {
    "qabf": references.qabf,
    "nabf": references.nabf,
    "vif": references.vif,
    "mef-ssim": references.mef_ssim,
    "qy": references.qy,
    "qw": references.qw,
    "qe": references.qe,
    "qcv": references.qcv,
    "qcb": references.qcb,
    "fmi-pixel": references.fmi,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TWO)
def test_against_reference(name: str) -> None:
    fused, sources = scene(49, 58, seed=3)
    expected = TWO[name](fused.numpy(), [s.numpy() for s in sources])
    assert value(name, fused, *sources) == pytest.approx(expected, rel=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qabf", "vif", "mef-ssim", "qw", "fmi-pixel"])
def test_against_reference_with_three_sources(name: str) -> None:
    fused, sources = scene(42, 45, K=3, seed=4)
    expected = TWO[name](fused.numpy(), [s.numpy() for s in sources])
    assert value(name, fused, *sources) == pytest.approx(expected, rel=1e-7)


def test_wrapped_orientation_against_reference() -> None:
    fused, sources = scene(30, 35, seed=5)
    expected = references.qabf(fused.numpy(), [s.numpy() for s in sources], wrapped=True)
    wrapped = value("qabf", fused, *sources, orientation="wrapped")
    assert wrapped == pytest.approx(expected, rel=1e-9)
    assert wrapped > value("qabf", fused, *sources)


@pytest.mark.parametrize("name", ["qcv", "qcb"])
def test_stretch_is_the_metric_of_stretched_images(name: str) -> None:
    fused, sources = scene(40, 50, seed=6)
    faint = fused * 0.3 + 20
    stretched = [((x - x.min()) / (x.max() - x.min()) * 255).round() for x in (faint, *sources)]
    assert value(name, faint, *sources, stretch=True) == pytest.approx(value(name, *stretched))
    assert value(name, faint, *sources, stretch=True) != pytest.approx(value(name, faint, *sources))


@pytest.mark.slow
def test_fmi_of_wavelets_is_that_of_the_bands() -> None:
    fused, sources = scene(24, 30, seed=7)
    bands = [list(meyer_bands(image)) for image in (fused, *sources)]
    sizes = [(b.shape[0] - 2) * (b.shape[1] - 2) for b in bands[0]]
    each = [
        references.fmi(f.numpy(), [a.numpy(), b.numpy()]) for f, a, b in zip(*bands, strict=True)
    ]
    expected = np.average(each, weights=sizes)
    assert value("fmi-wavelet", fused, *sources) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("K", [1, 2, 3])
def test_ssim_is_that_of_scikit_image(K: int) -> None:
    fused, sources = scene(50, 61, K=K)
    expected = 0.0
    for source in sources:
        _, map_ = structural_similarity(
            source.numpy(),
            fused.numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            full=True,
        )
        expected += map_[5:-5, 5:-5].mean()
    assert value("ssim", fused, *sources) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("reference", [mean_squared_error, peak_signal_noise_ratio])
def test_errors_are_those_of_scikit_image(reference: Callable[..., float]) -> None:
    fused, sources = scene(K=1)
    name = "mse" if reference is mean_squared_error else "psnr"
    options = {} if name == "mse" else {"data_range": 255}
    expected = reference(sources[0].numpy(), fused.numpy(), **options)
    assert value(name, fused, *sources) == pytest.approx(expected, rel=1e-12)


def test_gradients_are_those_of_numpy() -> None:
    fused, sources = scene()
    g_y, g_x = np.gradient(fused.numpy())
    expected = np.sqrt((g_x**2 + g_y**2) / 2).mean()
    assert value("ag", fused, *sources) == pytest.approx(expected, rel=1e-12)
