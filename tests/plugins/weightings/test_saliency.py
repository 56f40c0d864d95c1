"""The ``saliency`` weighting against its definition, written out in numpy."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.ndimage
import torch
from torch import Tensor

from fusionkit import Step, UsageError, compose, consistent_weights
from fusionkit.testing import make_run

from .common import build, draw, focus_pair, powers, sharp_halves, window_means

FLOOR = 1e-3
BINOMIAL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256


def weigh(sources: Tensor, **options: object) -> Tensor:
    run = make_run(sources)
    return build("saliency", "saliency", **options).start(run)(Step(run, 0, None, None))


def naive(sources: np.ndarray, measure: str, window: int, p: float) -> np.ndarray:
    K, B, C, H, W = sources.shape
    contrast, intensity, energy = np.zeros((3, K, B, 1, H, W))
    for k, b in np.ndindex(K, B):
        squares = np.zeros((H, W))
        for image in sources[k, b]:
            laplacian = scipy.ndimage.laplace(image, mode="nearest")
            contrast[k, b, 0] += np.abs(laplacian) / C
            energy[k, b, 0, :, :-1] += np.diff(image, axis=1) ** 2 / C
            energy[k, b, 0, :-1] += np.diff(image, axis=0) ** 2 / C
            blurred = scipy.ndimage.correlate(image, BINOMIAL, mode="nearest")
            squares += (blurred - image.mean()) ** 2 / C
        intensity[k, b, 0] = np.sqrt(squares)
    contrast, intensity = (window_means(m, window) + FLOOR for m in (contrast, intensity))
    energy = window_means(energy, window) + FLOOR**2
    for b in range(B):
        if measure == "both":
            contrast[:, b] /= contrast[:, b].mean()
            intensity[:, b] /= intensity[:, b].mean()
    chosen = {"contrast": contrast, "intensity": intensity, "both": contrast + intensity}
    chosen["gradient"] = energy
    return powers(chosen[measure], p)


@pytest.mark.parametrize("measure", ["contrast", "intensity", "both", "gradient"])
@pytest.mark.parametrize("window", [1, 3, 11])
@pytest.mark.parametrize(
    "shape", [(2, 2, 1, 9, 8), (3, 1, 3, 7, 5), (6, 1, 1, 2, 2), (4, 1, 1, 1, 3), (5, 1, 3, 2, 7)]
)
def test_it_is_its_definition(measure: str, window: int, shape: tuple[int, ...]) -> None:
    sources = draw(*shape)
    expected = naive(sources.numpy(), measure, window, 3.0)
    found = weigh(sources, measure=measure, window=window, sharpness=3.0)
    assert np.abs(found.numpy() - expected).max() < 1e-12
    assert expected.std() > 1e-3
    single = weigh(sources.float(), measure=measure, window=window, sharpness=3.0)
    assert single.dtype == torch.float32
    assert np.abs(single.numpy() - expected).max() < 1e-4


def test_the_sharp_half_gets_the_larger_weight() -> None:
    assert min(sharp_halves(weigh(focus_pair(), measure="contrast"))) > 0.9
    assert min(sharp_halves(weigh(focus_pair(), measure="gradient"))) > 0.95
    assert min(sharp_halves(weigh(focus_pair()))) > 0.6


def test_a_smooth_hot_spot_counts_by_intensity_not_by_contrast() -> None:
    rows, columns = np.mgrid[:48, :64]
    spot = np.exp(-((rows - 24) ** 2 + (columns - 32) ** 2) / 60)
    infrared = 1.6 * spot - 0.8
    visible = 0.3 * draw(48, 64).numpy()
    sources = torch.from_numpy(np.stack([infrared, visible]))[:, None, None]
    centre = (0, 0, 0, slice(21, 27), slice(29, 35))
    assert weigh(sources, measure="intensity")[centre].min() > 0.9
    assert weigh(sources, measure="contrast")[centre].max() < 0.1


@pytest.mark.parametrize("measure", ["contrast", "intensity", "both", "gradient"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("K", [2, 3, 4, 5, 6])
def test_where_nothing_stands_out_all_count_the_same(
    measure: str, dtype: torch.dtype, K: int
) -> None:
    levels = torch.linspace(-1, 0.7, K, dtype=dtype).view(K, 1, 1, 1, 1)
    identical = draw(1, 1, 1, 6, 5).to(dtype).expand(K, 1, 1, 6, 5)
    for sources in (levels.expand(K, 1, 1, 6, 5), identical):
        weights = weigh(sources, measure=measure, sharpness=8.0)
        assert (weights - 1 / K).abs().max() < 1e-3 / K
    assert (weigh(draw(K, 1, 1, 6, 5), measure=measure, sharpness=0) - 1 / K).abs().max() < 1e-12


def test_great_sharpness_chooses_the_maximum() -> None:
    sources = draw(3, 1, 1, 9, 8)
    soft, hard = (weigh(sources, window=3, sharpness=p) for p in (2.0, 1e6))
    assert torch.equal(soft.argmax(0), hard.argmax(0))
    assert hard.amax(0).min() > 0.999


def test_it_is_computed_once_and_costs_nothing() -> None:
    run = make_run(draw(2, 1, 1, 6, 5))
    weigh_step = build("saliency", "saliency").start(run)
    first, last = (weigh_step(Step(run, i, None, None)) for i in (0, run.steps - 1))
    assert first is last
    assert run.nfe == 0


def test_a_run_with_it_and_mse_is_target_only() -> None:
    pipe = compose(
        estimator="gaussian",
        weighting=build("saliency", "saliency"),
        objective={"name": "mse", "strength": 0},
        steps=2,
        device="cpu",
    )
    sources = draw(2, 1, 1, 9, 8).float()
    *_, last = pipe.steps(sources)
    assert last.step.run.nfe == 0
    assert not last.step.has_trajectory
    assert (last.corrected - (weigh(sources) * sources).sum(0)).abs().max() < 1e-6


def test_neighbours_agree() -> None:
    sources = focus_pair()
    alone = weigh(sources, measure="gradient", window=5)
    agreed = weigh(sources, measure="gradient", window=5, consistency=11)
    assert (agreed - consistent_weights(alone, 11)).abs().max() < 1e-12
    assert min(sharp_halves(agreed)) > 0.95


@pytest.mark.parametrize("name", ["window", "consistency"])
def test_windows_are_odd(name: str) -> None:
    with pytest.raises(UsageError, match=rf"weighting saliency: {name} must be odd, not 4"):
        build("saliency", "saliency", **{name: 4})


def test_listing_it_imports_no_torch() -> None:
    code = "import sys, fusionkit_saliency; assert 'torch' not in sys.modules"
    paths = [path for path in sys.path if path]
    code = f"import sys; sys.path[:] = {paths!r}; {code}"
    subprocess.run([sys.executable, "-c", code], check=True)
