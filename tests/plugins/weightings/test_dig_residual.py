"""The ``dig-residual`` weighting against naive numpy, in real runs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import skimage.filters
import torch
from fusionkit_dig.dig import Dig
from fusionkit_dig.residual import DigResidual
from torch import Tensor

from fusionkit import Step, UsageError, compose
from fusionkit.sampling.guide import SampledStep
from fusionkit.testing import make_run

from .common import build, draw, focus_pair, powers, sharp_halves, window_means

N = 5
LOSSES = ["l2", "l1", "gradient", "ssim"]


def naive_loss(loss: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The loss map of two (H, W)."""
    d = x - y
    if loss in ("l2", "l1"):
        return d**2 if loss == "l2" else np.abs(d)
    if loss == "gradient":
        right, below = np.zeros((2, *d.shape))
        right[:, :-1] = d[:, 1:] - d[:, :-1]
        below[:-1] = d[1:] - d[:-1]
        return right**2 + below**2
    x_mean, y_mean, xx, yy, xy = (window_means(m, 7) for m in (x, y, x * x, y * y, x * y))
    c1, c2 = 0.02**2, 0.06**2
    up = (2 * x_mean * y_mean + c1) * (2 * (xy - x_mean * y_mean) + c2)
    down = (x_mean**2 + y_mean**2 + c1) * (xx - x_mean**2 + yy - y_mean**2 + c2)
    return 1 - up / down


def naive_residual(loss: str, x0: Tensor, sources: Tensor, window: int) -> np.ndarray:
    K, B, C, H, W = sources.shape
    out = np.zeros((K, B, 1, H, W))
    for k, b, c in np.ndindex(K, B, C):
        out[k, b, 0] += naive_loss(loss, x0[b, c].numpy(), sources[k, b, c].numpy()) / C
    return window_means(out, window)


def run_with(sources: Tensor, weighting: object, **settings: object) -> list[SampledStep]:
    pipe = compose(
        estimator={"name": "gaussian", "correlation": 4.0},
        weighting=weighting,
        objective={"name": "mse", "strength": 0.1},
        steps=N,
        precision="float64",
        device="cpu",
        **settings,
    )
    return list(pipe.steps(sources))


def step_at(x0: Tensor, sources: Tensor, index: int = 0, previous: Tensor | None = None) -> Step:
    return Step(make_run(sources, steps=N), index, x0, x0, previous)


@pytest.mark.parametrize("loss", LOSSES)
def test_residual_is_the_loss_of_the_clean_estimate(loss: str) -> None:
    sources = draw(3, 2, 3, 7, 8)
    weighting = DigResidual("residual", loss, window=3, scale=10.0)
    for done in run_with(sources, weighting):
        expected = powers(naive_residual(loss, done.step.x0, sources, 3), 10.0)
        assert np.abs(done.weights.numpy() - expected).max() < 1e-9
        assert expected.std() > 1e-3


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_gain_is_the_loss_taken_off_since_the_last_renewal(loss: str, stride: int) -> None:
    sources = draw(2, 1, 1, 7, 8)
    scale = 30.0
    weighting = DigResidual("gain", loss, 3, activation="softmax", scale=scale, stride=stride)
    steps = run_with(sources, weighting)
    for due in range(0, N, stride):
        # What the steps were corrected to; before the first, the plain mean.
        known = steps[due - stride].corrected if due else sources.mean(0)
        gain = naive_residual(loss, known, sources, 3)
        gain = gain - naive_residual(loss, steps[due].step.x0, sources, 3)
        powered = np.exp(scale * gain)
        assert np.abs(steps[due].weights.numpy() - powered / powered.sum(0)).max() < 1e-9
        assert (powered / powered.sum(0)).std() > 1e-3
    for i in range(N):
        assert torch.equal(steps[i].weights, steps[i - i % stride].weights)
    assert len({tuple(s.weights.flatten().tolist()) for s in steps}) == -(-N // stride)


@pytest.mark.parametrize("stride", [2, N + 3])
def test_residual_is_renewed_only_every_stride_steps(stride: int) -> None:
    sources = draw(2, 1, 1, 7, 8)
    steps = run_with(sources, DigResidual(loss="l1", window=3, stride=stride))
    for i, done in enumerate(steps):
        seen = steps[i - i % stride].step.x0
        expected = powers(naive_residual("l1", seen, sources, 3), 4.0)
        assert np.abs(done.weights.numpy() - expected).max() < 1e-9


def test_gains_are_first_counted_from_the_plain_mean() -> None:
    sources = draw(3, 1, 1, 7, 8)
    weigh = DigResidual("gain", "l2", window=1, scale=1.0).start(make_run(sources))
    mean = sources.mean(0)
    provisional = weigh(Step(make_run(sources), 0, mean, mean, provisional=True))
    assert (provisional - 1 / 3).abs().max() < 1e-12  # from the mean to the mean
    towards = 0.5 * mean + 0.5 * sources[1]  # has gained of the second, lost of the others
    first = weigh(step_at(towards, sources))
    gains = ((mean - sources) ** 2 - (towards - sources) ** 2).numpy()
    inside = (gains > 1e-6).any(0, keepdims=True)
    assert inside.all()
    assert np.abs(first.numpy() - powers(gains, 1.0)).max() < 1e-9


def test_a_run_from_below_pure_noise_starts_from_the_mean_when_gains_count() -> None:
    sources = draw(2, 1, 1, 7, 8)
    from_equal = run_with(sources, "fixed", start_sigma=2.0309)[0].step.x
    from_gains = run_with(sources, DigResidual("gain"), start_sigma=2.0309)[0].step.x
    assert (from_equal - from_gains).abs().max() < 1e-12
    from_residual = run_with(sources, DigResidual(loss="ssim"), start_sigma=2.0309)[0].step.x
    assert (from_equal - from_residual).abs().max() > 1e-3


@pytest.mark.parametrize("granularity", ["pixel", "region", "image"])
def test_granularity_is_the_window(granularity: str) -> None:
    sources = draw(2, 1, 1, 7, 8)
    built = build("dig", "dig-residual", granularity=granularity, window=5, loss="l1")
    x0 = draw(1, 1, 7, 8, seed=1)
    window = {"pixel": 1, "region": 5, "image": 0}[granularity]
    expected = powers(naive_residual("l1", x0, sources, window), built.scale)
    assert np.abs(built.start(None)(step_at(x0, sources)).numpy() - expected).max() < 1e-9


@pytest.mark.parametrize("activation", ["power", "softmax", "hard"])
def test_it_shares_digs_activation(activation: str) -> None:
    gains = draw(3, 1, 1, 7, 8)
    ours = DigResidual(activation=activation, scale=3.0).weights(gains)
    assert torch.equal(ours, Dig(activation=activation, scale=3.0).weights(gains))
    assert ours.std() > 0.05


@pytest.mark.parametrize("mode", ["residual", "gain"])
@pytest.mark.parametrize(
    ("K", "H", "W"), [(2, 2, 2), (3, 3, 2), (4, 5, 7), (5, 9, 2), (6, 7, 5), (2, 1, 3)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_number_of_sources_of_any_size(
    mode: str, K: int, H: int, W: int, dtype: torch.dtype
) -> None:
    sources, x0, previous = draw(K, 1, 1, H, W), draw(1, 1, H, W, seed=1), draw(1, 1, H, W, seed=2)
    for loss, activation in itertools.product(LOSSES, ["power", "softmax", "hard"]):
        weigh = DigResidual(mode, loss, activation=activation).start(make_run(sources))
        step = step_at(x0.to(dtype), sources.to(dtype), 1, previous.to(dtype))
        weights = weigh(step)
        assert weights.shape == (K, 1, 1, H, W)
        assert weights.dtype == dtype
        assert (weights >= 0).all()
        assert (weights.sum(0) - 1).abs().max() < 1e-5


def test_what_is_lacking_is_detail_in_the_sharp_half() -> None:
    # x̂0 knows what both halves share, and no detail: a denoiser's answer at a noisy level.
    sources = focus_pair()
    smooth = torch.from_numpy(skimage.filters.gaussian(sources.mean(0).numpy()[0, 0], 4.0))
    for loss in LOSSES:
        weights = DigResidual("residual", loss).start(None)(step_at(smooth[None, None], sources))
        assert min(sharp_halves(weights)) > 0.7, loss


@pytest.mark.parametrize(("loss", "slope"), [("l2", -2), ("gradient", -2), ("l1", -1)])
@pytest.mark.parametrize("scale", [0.25, 1.0])
def test_residual_turns_weights_around_where_the_estimate_follows_them(
    loss: str, slope: int, scale: float
) -> None:
    # x̂0 = Σ w_k c_k: the next weights' log-odds are -2 scale (l1: -scale) times w's.
    sources = draw(2, 1, 1, 7, 8)
    w = 0.8
    x0 = w * sources[0] + (1 - w) * sources[1]
    weigh = DigResidual("residual", loss, window=3, scale=scale).start(None)
    found = torch.logit(weigh(step_at(x0, sources))[0])
    assert (found - slope * scale * np.log(w / (1 - w))).abs().max() < 1e-9


def test_where_every_source_is_lost_all_count_the_same() -> None:
    sources = draw(3, 1, 1, 7, 8)
    mean = sources.mean(0)
    worse = mean + 5.0  # farther from each source, everywhere, than the step before
    weights = DigResidual("gain", "l2").start(None)(step_at(worse, sources, 0))
    assert (weights - 1 / 3).abs().max() < 1e-12
    assert DigResidual("residual", "l2").start(None)(step_at(worse, sources)).std() > 1e-3


def test_identical_sources_share_equally() -> None:
    sources = draw(1, 1, 1, 7, 8).expand(4, 1, 1, 7, 8)
    for mode, loss in itertools.product(["residual", "gain"], LOSSES):
        for done in run_with(sources, DigResidual(mode, loss, window=3)):
            assert (done.weights - 1 / 4).abs().max() < 1e-9


@pytest.mark.parametrize("mode", ["residual", "gain"])
def test_it_costs_no_evaluation_of_its_own_but_needs_the_trajectory(mode: str) -> None:
    assert DigResidual.uses_trajectory is True
    sources = draw(3, 1, 1, 7, 8)
    hard = {"name": "mse", "strength": 0}
    for weighting, nfe in (("fixed", 0), (DigResidual(mode), N)):
        pipe = compose(
            estimator="gaussian", weighting=weighting, objective=hard, steps=N, device="cpu"
        )
        *_, last = pipe.steps(sources.float())
        assert last.step.run.nfe == nfe


def test_windows_are_odd() -> None:
    with pytest.raises(UsageError, match=r"weighting dig-residual: window must be odd, not 4"):
        build("dig", "dig-residual", window=4)
