"""``condition-bank``: its eight conditions one by one, and the step that they are made into."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from fusionkit_objectives import conditions as bank_of
from fusionkit_objectives.condition_bank import FLOOR, KEPT, ConditionBank
from fusionkit_objectives.conditions import NAMES, SOFTNESS, Maps, haar
from scipy import ndimage
from skimage.metrics import structural_similarity
from torch import Tensor

from .common import draw, run_of, some_weights, step_at

SIZES = [(2, 2), (3, 2), (5, 7), (12, 9)]
GLOBAL = ("sf", "ei", "sd")


Condition = Callable[[Tensor], Tensor]


def conditions(sources: Tensor, weights: Tensor) -> tuple[Condition, ...]:
    """The conditions as functions of an image."""

    def of_image(condition: bank_of.Condition) -> Condition:
        return lambda image: condition(Maps(image))

    return tuple(map(of_image, bank_of.conditions(sources, weights)))


def named(sources: Tensor, weights: Tensor) -> dict[str, Condition]:
    return dict(zip(NAMES, conditions(sources, weights), strict=True))


def slope(condition: Condition, f: Tensor) -> Tensor:
    with torch.enable_grad():
        at = f.clone().requires_grad_(True)
        (found,) = torch.autograd.grad(condition(at).sum(), at)
    return found * f[0].numel()


def equal(K: int, B: int, H: int, W: int) -> Tensor:
    return torch.full((K, B, 1, H, W), 1 / K, dtype=torch.float64)


# The conditions


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("H", "W"), SIZES)
def test_identical_sources_meet_every_condition_and_leave_no_slope(
    name: str, H: int, W: int
) -> None:
    image = draw(2, 1, H, W)
    condition = named(image.expand(3, -1, -1, -1, -1), some_weights(3, 2, H, W))[name]
    assert condition(image).shape == (2,)
    assert condition(image).abs().max() < 1e-12
    assert slope(condition, image).abs().max() < 1e-9


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("H", "W"), SIZES)
def test_conditions_have_slopes_that_lead_down(name: str, H: int, W: int) -> None:
    sources, f = draw(3, 2, 3, H, W), 0.1 * draw(2, 3, H, W, seed=5)
    condition = named(sources, some_weights(3, 2, H, W))[name]
    down = slope(condition, f)
    assert torch.isfinite(down).all()
    assert (down.abs().amax((1, 2, 3)) > 1e-4).all()
    # Also right in size: the loss falls by slope², to first order.
    by = 1e-6
    fall = (condition(f) - condition(f - by * down)) / by
    expected = down.square().mean((1, 2, 3))
    assert torch.allclose(fall, expected, rtol=2e-2)


@pytest.mark.parametrize("name", NAMES)
def test_a_source_of_weight_zero_counts_nowhere(name: str) -> None:
    sources, f = draw(3, 2, 1, 9, 8), draw(2, 1, 9, 8, seed=5)
    weights = torch.cat([some_weights(2, 2, 9, 8), torch.zeros(1, 2, 1, 9, 8).double()])
    other = sources.clone()
    other[2] = 5 * draw(2, 1, 9, 8, seed=7)
    assert torch.equal(named(sources, weights)[name](f), named(other, weights)[name](f))
    without = named(sources[:2], weights[:2])[name](f)
    assert (named(sources, weights)[name](f) - without).abs().max() < 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_every_source_counts_alike(name: str) -> None:
    """CCF's own edge term reads the visible image twice, and the infrared one never."""
    sources, f, weights = draw(3, 1, 1, 9, 8), draw(1, 1, 9, 8, seed=5) / 4, equal(3, 1, 9, 8)
    loss = named(sources, weights)[name](f)
    for order in ([1, 2, 0], [2, 1, 0]):
        assert (named(sources[order], weights)[name](f) - loss).abs().max() < 1e-12
    if name not in GLOBAL:
        for k in range(3):
            other = sources.clone()
            other[k] = other[k] * 0.5
            assert (named(other, weights)[name](f) - loss).abs().max() > 1e-4


def test_ssim_is_that_of_scikit_image() -> None:
    sources, f, weights = draw(2, 1, 1, 16, 15), draw(1, 1, 16, 15, seed=5), equal(2, 1, 16, 15)
    weights[:, :, :, :3] = weights[:, :, :, -3:] = 0  # their borders are mirrored
    weights[..., :3] = weights[..., -3:] = 0
    expected = 0.0
    for c in sources[:, 0, 0].numpy():
        _, similar = structural_similarity(
            f[0, 0].numpy(), c, win_size=7, data_range=2, full=True, use_sample_covariance=False
        )
        expected += 0.5 * (1 - similar[3:-3, 3:-3]).sum() / similar.size
    assert float(named(sources, weights)["ssim"](f)) == pytest.approx(expected, rel=1e-9)


def test_losses_are_those_written_out() -> None:
    sources, weights = draw(3, 1, 1, 7, 6), some_weights(3, 1, 7, 6)
    f = draw(1, 1, 7, 6, seed=5) / 3
    got = {name: float(condition(f)) for name, condition in named(sources, weights).items()}
    c, w, g = sources[:, 0, 0].numpy(), weights[:, 0, 0].numpy(), f[0, 0].numpy()
    assert got["mse"] == pytest.approx(0.5 * np.mean((w * (g - c) ** 2).sum(0)))

    def sobel(image: np.ndarray) -> np.ndarray:
        x, y = (ndimage.sobel(image, axis, mode="nearest") / 8 for axis in (1, 0))
        return np.sqrt(x**2 + y**2 + SOFTNESS**2)

    share = w / w.max(0)
    target = np.max([r * sobel(image) for r, image in zip(share, c, strict=True)], 0)
    assert got["edges"] == pytest.approx(0.5 * np.mean((sobel(g) - target) ** 2))

    def bands(image: np.ndarray) -> np.ndarray:
        p = np.pad(image, (0, 1), mode="edge")
        signs = [(1, 1, 1, 1), (1, -1, 1, -1), (1, 1, -1, -1), (1, -1, -1, 1)]
        corners = [p[:-1, :-1], p[:-1, 1:], p[1:, :-1], p[1:, 1:]]
        return np.array(
            [sum(s * q for s, q in zip(row, corners, strict=True)) / 4 for row in signs]
        )

    of_f, of_c = bands(g), np.array([bands(image) for image in c])
    coarse = np.array([bands(each)[0] for each in w])
    low = 0.5 * np.mean((coarse * (of_f[0] - of_c[:, 0]) ** 2).sum(0))
    assert got["haar-low"] == pytest.approx(low)
    votes = coarse[:, None] * (of_c[:, 1:] ** 2 + SOFTNESS**4)
    detail = (votes * of_c[:, 1:]).sum(0) / votes.sum(0)
    assert got["haar-high"] == pytest.approx(0.5 * np.mean(((of_f[1:] - detail) ** 2).sum(0)))

    def root(x: float) -> float:
        return float(np.sqrt(x + SOFTNESS**2))

    statistics = {
        "sf": lambda i: root(
            (np.sum(np.diff(i, axis=0) ** 2) + np.sum(np.diff(i, axis=1) ** 2)) / i.size
        ),
        "ei": lambda i: float(np.mean(sobel(i))),
        "sd": lambda i: root(np.var(i)),
    }
    total = w.mean((1, 2))
    for name, statistic in statistics.items():
        best = max(r * statistic(i) for r, i in zip(total / total.max(), c, strict=True))
        assert best > statistic(g)
        assert got[name] == pytest.approx((best - statistic(g)) ** 2 / 2)


def test_haar_bands_hold_all_of_the_image() -> None:
    image = draw(2, 1, 5, 6)
    bands = haar(image)
    assert bands.shape == (2, 4, 1, 5, 6)
    assert (bands.sum(1) - image).abs().max() < 1e-12


@pytest.mark.parametrize("name", GLOBAL)
def test_statistics_have_to_reach_the_best_source_and_no_more(name: str) -> None:
    strong, weak = draw(1, 1, 9, 8), draw(1, 1, 9, 8, seed=1) / 4
    sources = torch.stack([weak, strong])
    condition = named(sources, equal(2, 1, 9, 8))[name]
    assert float(condition(weak)) > 1e-3
    for enough in (strong, 1.5 * strong):
        assert float(condition(enough)) < 1e-20
        assert slope(condition, enough).abs().max() < 1e-9
    # One that has hardly any weight does not set the mark.
    faint = equal(2, 1, 9, 8) * torch.tensor([1.98, 0.02]).double().view(2, 1, 1, 1, 1)
    assert float(named(sources, faint)[name](weak)) < 1e-3


# The step


def balance_by_hand(f: Tensor, bank: tuple[Condition, ...], first: Tensor) -> list[float]:
    """The factors for one image: three conditions, balanced by GradNorm in closed form."""
    sizes, paces = [], []
    for condition, start in zip(bank, first, strict=True):
        sizes.append(float(slope(condition, f).square().mean().sqrt()))
        paces.append(min(max(float(condition(f)) / (float(start) + 1e-6), 0.1), 10))
    kept = sorted(range(len(bank)), key=lambda j: -sizes[j])[:KEPT]
    size, pace = (np.mean([values[j] for j in kept]) for values in (sizes, paces))
    return [
        size / (G + 1e-6) * (R / pace) ** 0.5 if j in kept else 0.0
        for j, (G, R) in enumerate(zip(sizes, paces, strict=True))
    ]


def slope_by_hand(f: Tensor, bank: tuple[Condition, ...], balance: list[float]) -> Tensor:
    total = torch.zeros_like(f)
    for factor, condition in zip(balance, bank, strict=True):
        total += factor * slope(condition, f)
    return total


@pytest.mark.parametrize(("H", "W"), [(5, 4), (12, 9)])
def test_each_image_takes_the_step_that_is_written_down(H: int, W: int) -> None:
    contrast = torch.tensor([1.0, 0.2]).double().view(2, 1, 1, 1)
    sources = draw(3, 2, 1, H, W) * contrast
    run = run_of(sources)
    started = ConditionBank(0.1, iterations=1, rate=0.03).start(run)
    weights = some_weights(3, 2, H, W)
    begin = conditions(sources, weights)
    first = None
    for index in range(run.steps):
        x0 = draw(2, 1, H, W, seed=10 + index) / (1 + index)
        got = started.rectify(step_at(run, index, x0), weights)
        first = torch.stack([condition(x0) for condition in begin]) if first is None else first
        for b in range(2):
            one = slice(b, b + 1)
            bank = conditions(sources[:, one], weights[:, one])
            g = slope_by_hand(x0[one], bank, balance_by_hand(x0[one], bank, first[:, b]))
            # The first step of Adam: the slope over its own size.
            expected = x0[one] - 0.03 * g / (g.abs() + FLOOR)
            assert (got[one] - expected).abs().max() < 1e-9
    assert not got.requires_grad


def test_adam_with_the_proximal_term_is_that_of_torch() -> None:
    sources, x0, weights = draw(2, 1, 1, 6, 5), draw(1, 1, 6, 5, seed=4) / 2, equal(2, 1, 6, 5)
    run = run_of(sources)
    last = run.steps - 1  # where rho is the strength
    got = (
        ConditionBank(2.0, iterations=6, rate=0.05)
        .start(run)
        .rectify(step_at(run, last, x0), weights)
    )
    bank = conditions(sources, weights)
    balance = balance_by_hand(x0, bank, torch.stack([condition(x0) for condition in bank])[:, 0])
    f = x0.clone().requires_grad_(True)
    adam = torch.optim.Adam([f], eps=FLOOR)
    for n in range(6):
        adam.param_groups[0]["lr"] = 0.05 * (1 - n / 6)
        now = f.detach()
        f.grad = slope_by_hand(now, bank, balance) + 2.0 * (now - x0)
        adam.step()
    assert (got - f.detach()).abs().max() < 1e-9
    assert (got - x0).abs().max() > 0.05


@pytest.mark.slow
def test_a_high_strength_holds_the_clean_estimate() -> None:
    sources, x0, weights = draw(2, 1, 1, 6, 5), draw(1, 1, 6, 5, seed=4) / 2, equal(2, 1, 6, 5)
    run = run_of(sources)
    moved = []
    for strength in (0.1, 10.0, 1000.0):
        started = ConditionBank(strength, iterations=40).start(run)
        got = started.rectify(step_at(run, run.steps - 1, x0), weights)
        moved.append(float((got - x0).abs().mean()))
    assert moved[0] > 1.3 * moved[1] > 10 * moved[2]


def test_without_strength_the_steps_go_on_from_each_other() -> None:
    sources, weights = draw(2, 1, 1, 6, 5), some_weights(2, 1, 6, 5)
    run = run_of(sources)
    objective = ConditionBank(0.0, iterations=1, rate=0.03)
    assert not objective.uses_trajectory
    started = objective.start(run)
    images = [started.initial(weights)]
    assert torch.equal(images[0], (weights * sources).sum(0))
    for index in range(run.steps):
        images.append(started.rectify(step_at(run, index, None), weights))
        moved = (images[-1] - images[-2]).abs().max()
        assert 0.01 < moved < 0.03
    assert (images[-1] - images[0]).abs().max() > 0.05


@pytest.mark.parametrize(("H", "W"), SIZES)
def test_six_sources_of_any_size_and_colour(H: int, W: int) -> None:
    sources = draw(6, 2, 3, H, W)
    run = run_of(sources)
    started = ConditionBank(iterations=3).start(run)
    x0 = draw(2, 3, H, W, seed=2)
    got = started.rectify(step_at(run, 0, x0), some_weights(6, 2, H, W))
    assert torch.isfinite(got).all()
    assert (got - x0).abs().amax((1, 2, 3)).min() > 0.01
