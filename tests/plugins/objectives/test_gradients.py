"""``gradients`` against dense linear algebra, and the rules for the lowest band."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fusionkit_diffusion.gaussian import GaussianEstimator
from fusionkit_objectives import differences as objective_differences
from fusionkit_objectives import gradients as objective_gradients
from fusionkit_objectives.base import (
    RULES,
    WELL_EXPOSED,
    fused_base,
    hidden_structure,
    kept_dark,
)
from fusionkit_objectives.differences import (
    cosine_transform,
    gradient,
    gradient_transposed,
    inverse_cosine_transform,
    solve_screened,
)
from fusionkit_objectives.gradients import Gradients
from torch import Tensor

from fusionkit import UsageError, box_mean, compose

from .common import draw, run_of, some_weights, step_at
from .dense import differences


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("psi", [0.5, 200.0])
def test_the_target_is_the_minimiser(K: int, psi: float) -> None:
    H, W = 6, 5
    sources, weights = draw(K, 1, 1, H, W), some_weights(K, 1, H, W)
    started = Gradients(0.0, psi, "mean").start(run_of(sources))
    target = started.rectify(step_at(run_of(sources), 1, None), weights)

    right, below = differences(H, W)
    matrix, side = np.eye(H * W), sources.mean(0).numpy().ravel()
    for d in (right, below):
        matrix = matrix + psi * d.T @ d
        wanted = sum(
            w.numpy().ravel() * (d @ c.numpy().ravel())
            for w, c in zip(weights, sources, strict=True)
        )
        side = side + psi * d.T @ wanted
    expected = np.linalg.solve(matrix, side).reshape(H, W)
    assert np.abs(target[0, 0].numpy() - expected).max() < 1e-10


@pytest.mark.parametrize("size", [(2, 2), (7, 10), (8, 9), (33, 2), (16, 5)])
def test_the_solve_is_exact_in_bands(size: tuple[int, int], monkeypatch) -> None:
    monkeypatch.setattr(objective_differences, "BAND", 20)
    side = draw(2, 3, *size)
    found = solve_screened(side, 1.3, 20.0)
    again = 1.3 * found + 20 * gradient_transposed(gradient(found))
    assert (again - side).abs().max() < 1e-12
    n, k = np.arange(size[1]), np.arange(size[1])[:, None]
    matrix = torch.from_numpy(np.cos(np.pi * k * (2 * n + 1) / (2 * size[1])))
    spectrum = cosine_transform(side)
    assert (spectrum - side @ matrix.T).abs().max() < 1e-12
    assert (inverse_cosine_transform(spectrum) - side).abs().max() < 1e-12


def test_the_target_is_solved_for_once_while_the_weights_stay(monkeypatch) -> None:
    solved = []

    def counted(side: Tensor, *arguments: float) -> Tensor:
        solved.append(side.shape)
        return solve_screened(side, *arguments)

    monkeypatch.setattr(objective_gradients, "solve_screened", counted)
    sources, weights = draw(2, 1, 1, 6, 5), some_weights(2, 1, 6, 5)
    grey = Gradients().start(run_of(sources.expand(2, 1, 3, 6, 5)))
    first = grey.initial(weights)
    assert first.shape == (1, 3, 6, 5)
    assert grey.initial(weights) is first
    assert solved == [(1, 1, 6, 5)]  # of three equal channels, one
    colour = Gradients().start(run_of(sources.repeat(1, 1, 3, 1, 1)))
    assert (colour.initial(weights) - first).abs().max() < 1e-12
    assert len(solved) == 2
    weights.copy_(weights.flip(0))  # the same tensor, but not the same weights
    assert (grey.initial(weights) - first).abs().max() > 1e-3
    equal = grey.initial(weights.clone())
    assert torch.equal(equal, grey.initial(weights.clone()))
    assert len(solved) == 5
    with torch.inference_mode():
        unversioned = weights.clone()
        grey.initial(unversioned)
        grey.initial(unversioned)
    assert len(solved) == 7


def test_switching_weights_leave_no_edge_where_the_sources_differ_in_brightness_only() -> None:
    texture = 0.2 * draw(1, 1, 1, 32, 32)
    sources = torch.cat([texture - 0.4, texture + 0.4])
    weights = torch.zeros(2, 1, 1, 32, 32, dtype=torch.float64)
    weights[0, ..., :16], weights[1, ..., 16:] = 1, 1
    started = Gradients(0.0, 1e4, "mean").start(run_of(sources))
    fused = started.rectify(step_at(run_of(sources), 0, None), weights)
    # The step across the middle is that of the texture, not the 0.8 between the sources.
    seam = (fused - texture[0]).diff(dim=-1)[..., 15].abs().max()
    assert seam < 0.05


@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_it_corrects_to_the_proximal_point(strength: float) -> None:
    sources, weights, x0 = draw(2, 1, 1, 8, 8), some_weights(2, 1, 8, 8), draw(1, 1, 8, 8, seed=9)
    run = run_of(sources)
    target = Gradients(0.0).start(run).rectify(step_at(run, 2, x0), weights)
    corrected = Gradients(strength).start(run).rectify(step_at(run, 2, x0), weights)
    rho = strength * (run.sigma[run.steps - 1] / run.sigma[2]) ** 2
    assert (corrected - (target + rho * x0) / (1 + rho)).abs().max() < 1e-12


def bands_and_weights(absent: int | None = None) -> tuple[Tensor, Tensor]:
    bands, weights = draw(4, 2, 3, 9, 7), some_weights(4, 2, 9, 7)
    if absent is not None:
        weights[absent] = 0
        weights = weights / weights.sum(0)
    return bands, weights


@pytest.mark.parametrize("rule", RULES)
def test_a_source_without_weight_has_no_part_in_the_base(rule: str) -> None:
    bands, weights = bands_and_weights(absent=1)
    kept = [0, 2, 3]
    with_it = fused_base(bands, weights, rule)
    assert torch.allclose(with_it, fused_base(bands[kept], weights[kept], rule), atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("value", [-1.0, 0.0, 0.3])
def test_of_equal_bands_it_is_the_band(rule: str, value: float) -> None:
    bands, weights = bands_and_weights()
    same = torch.full_like(bands, value)
    assert torch.allclose(fused_base(same, weights, rule), same[0], atol=1e-12)


def test_each_rule_is_what_its_name_says() -> None:
    bands, weights = bands_and_weights()
    plain = bands.numpy()
    rules = {rule: fused_base(bands, weights, rule).numpy() for rule in RULES}
    assert np.allclose(rules["max"], plain.max(0))
    assert np.allclose(rules["mean"], plain.mean(0))
    assert np.allclose(rules["weights"], (weights.numpy() * plain).sum(0))
    exposed = np.exp(-(plain**2).mean(2, keepdims=True) / (2 * WELL_EXPOSED**2))
    assert np.allclose(rules["exposure"], (exposed * plain).sum(0) / exposed.sum(0))
    smooth = torch.from_numpy(exposed / exposed.sum(0))
    for _ in range(2):
        smooth = box_mean(smooth, int(0.25 * min(plain.shape[-2:])) // 2 * 2 + 1)
    assert np.allclose(rules["tone"], (smooth.numpy() * plain).sum(0))
    stands_out = ((plain - plain.mean((-2, -1), keepdims=True)) ** 2).mean(2, keepdims=True)
    assert np.allclose(rules["saliency"], (stands_out * plain).sum(0) / stands_out.sum(0))
    mean, spread = plain.mean(0), plain.var((-2, -1)).mean(-1).max(0)
    centre = mean.mean((-2, -1), keepdims=True)
    gain = np.sqrt(spread / mean.var((-2, -1)).mean(-1)).clip(1, 4)[:, None, None, None]
    restored, most, least = centre + gain * (mean - centre), plain.max(0), plain.min(0)
    above, below = (restored - most).clip(0), (least - restored).clip(0)
    room = most.max((-2, -1), keepdims=True) - most, least - least.min((-2, -1), keepdims=True)
    assert np.allclose(
        rules["contrast"],
        restored.clip(least, most)
        + above * room[0] / (above + room[0] + 1e-300)
        - below * room[1] / (below + room[1] + 1e-300),
    )


def test_tone_keeps_the_contrast_that_exposure_flattens() -> None:
    # A checkerboard, dark in one source and bright in the other: pixel by pixel all is mid-grey.
    board = torch.from_numpy(np.indices((32, 32)).sum(0) % 2 * 0.8 - 0.4)
    bands = torch.stack([board - 0.5, board + 0.5])[:, None, None]
    weights = torch.full((2, 1, 1, 32, 32), 0.5, dtype=torch.float64)
    spread = {rule: float(fused_base(bands, weights, rule).std()) for rule in ("exposure", "tone")}
    assert spread["exposure"] < 0.5 * float(board.std())
    assert spread["tone"] > 0.9 * float(board.std())


def test_contrast_brings_back_what_a_mean_halves_and_clips_nothing() -> None:
    # Shades that one source has in columns and the other in rows, up to black and white.
    wave = torch.linspace(0, 12.56, 48).double().sin().expand(48, 48)
    bands = torch.stack([wave, wave.T])[:, None, None]
    weights = torch.full((2, 1, 1, 48, 48), 0.5, dtype=torch.float64)
    spread = {rule: float(fused_base(bands, weights, rule).std()) for rule in ("mean", "contrast")}
    assert spread["mean"] < 0.75 * float(wave.std())
    assert spread["contrast"] > 0.85 * float(wave.std())  # not all: there is no room above white
    base = fused_base(bands, weights, "contrast")
    assert base.amax() <= bands.amax()
    assert base.amin() >= bands.amin()


def test_of_opposite_sources_contrast_makes_no_more_than_there_is() -> None:
    wave = 0.5 * torch.linspace(0, 12.56, 48).double().sin().expand(48, 48)[None, None]
    weights = torch.full((2, 1, 1, 48, 48), 0.5, dtype=torch.float64)
    assert fused_base(torch.stack([wave, -wave]), weights, "contrast").abs().max() < 1e-12


def test_increments_take_their_lowest_band_by_the_rule() -> None:
    # With fixed weights all other bands are fused by their mean, so that a brighter source shows
    # in the lowest one alone.
    sources = 0.2 * draw(2, 1, 1, 16, 16)
    sources[1] += 0.6
    prior = GaussianEstimator(exponent=3.0, correlation=4.0)
    images = {}
    for rule in ("weights", "mean", "max"):
        pipe = compose(
            estimator=prior,
            weighting="fixed",
            objective={"name": "increments", "base": rule, "strength": 0},
            sigmas=[1.3, 0.34],
            precision="float64",
            device="cpu",
        )
        images[rule] = pipe(sources).image
    assert torch.allclose(images["weights"], images["mean"])
    assert 0.1 < (images["max"] - images["mean"]).mean() < 0.35


def detail(image: Tensor) -> Tensor:
    return image - box_mean(box_mean(image, 41), 41)


def test_what_a_plain_brighter_source_hides_is_the_others_without_their_shade() -> None:
    dark, bright = 0.3 * draw(1, 1, 60, 90) - 0.6, torch.full((1, 1, 60, 90), 0.5).double()
    sources = torch.stack([dark, bright])
    hidden = hidden_structure(sources, some_weights(2, 1, 60, 90))
    assert (hidden - detail(dark)).abs().max() < 1e-12
    turned = hidden_structure(sources.flip(0), some_weights(2, 1, 60, 90))
    assert (turned - hidden).abs().max() < 1e-12
    # Of three, the mean of the two darker ones.
    three = torch.cat([sources, dark[None].flip(-1)])
    found = hidden_structure(three, some_weights(3, 1, 60, 90))
    assert (found - detail((dark + dark.flip(-1)) / 2)).abs().max() < 1e-12


def test_what_a_brighter_source_shows_too_is_not_hidden() -> None:
    bright = 0.3 * draw(1, 1, 60, 90) + 0.6
    for dark in (bright, 0.5 * bright - 0.8, -0.7 * bright - 0.4):  # the last one inverted
        hidden = hidden_structure(torch.stack([dark, bright]), some_weights(2, 1, 60, 90))
        assert hidden.abs().max() < 1e-12
    # Beside it, what it does not show: all of that is.
    own = 0.1 * draw(1, 1, 60, 90, seed=1)
    dark = 0.5 * bright - 0.8 + own
    hidden = hidden_structure(torch.stack([dark, bright]), some_weights(2, 1, 60, 90))
    assert (hidden - detail(own)).abs().mean() < 0.1 * detail(own).abs().mean()


def test_what_hardly_differs_hides_hardly_anything() -> None:
    image = 0.8 * draw(1, 1, 60, 90)
    noise = 0.01 * draw(1, 1, 60, 90, seed=1)
    hidden = hidden_structure(torch.stack([image, image + noise]), some_weights(2, 1, 60, 90))
    assert hidden.abs().max() < 0.02


def test_a_source_without_weight_hides_nothing_and_shows_nothing() -> None:
    sources, weights = draw(2, 1, 1, 12, 10), torch.zeros(2, 1, 1, 12, 10, dtype=torch.float64)
    weights[0] = 1
    assert hidden_structure(sources, weights).abs().max() == 0


def test_hidden_is_added_to_the_base() -> None:
    sources, weights = draw(2, 1, 1, 20, 18), some_weights(2, 1, 20, 18)
    plain, added = (
        Gradients(0.0, 3.0, "max", hidden).start(run_of(sources)).initial(weights)
        for hidden in (0.0, 0.4)
    )
    extra = solve_screened(hidden_structure(sources, weights), 1.0, 3.0)
    assert (added - plain - 0.4 * extra).abs().max() < 1e-10


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_sources_come_back_whatever_psi(dtype: torch.dtype) -> None:
    image = draw(1, 1, 1, 40, 33).to(dtype)
    sources = image.expand(3, 1, 1, 40, 33)
    weights = some_weights(3, 1, 40, 33).to(dtype)
    target = Gradients(0.0, 1e6, "mean").start(run_of(sources)).initial(weights)
    assert (target - image[0]).abs().max() < (1e-5 if dtype == torch.float32 else 1e-12)


def test_where_no_source_has_light_there_is_none() -> None:
    sources, weights = draw(3, 2, 2, 8, 9).abs(), some_weights(3, 2, 8, 9)
    sources = sources - 0.7
    sources[..., :4] = -0.7
    bound = kept_dark(torch.full((2, 2, 8, 9), 5.0, dtype=sources.dtype), sources, weights, 2.0)
    assert torch.allclose(bound + 0.7, 2 * (sources.amax(0) + 0.7), atol=1e-12)
    assert (bound[..., :4] == -0.7).all()
    dark = torch.full_like(bound, -0.9)
    assert torch.equal(kept_dark(dark, sources, weights, 2.0), dark)


def test_of_equal_sources_nothing_is_bounded() -> None:
    same = draw(1, 2, 3, 8, 9).expand(3, -1, -1, -1, -1)
    assert torch.equal(kept_dark(same[0], same, some_weights(3, 2, 8, 9), 1.0), same[0])


def test_a_source_without_weight_has_no_light_and_no_dark() -> None:
    sources, weights = draw(4, 2, 3, 8, 9), some_weights(4, 2, 8, 9)
    weights[1] = 0
    sources[1] *= 50
    image, kept = 2 * draw(2, 3, 8, 9), [0, 2, 3]
    with_it = kept_dark(image, sources, weights, 2.0)
    assert torch.equal(with_it, kept_dark(image, sources[kept], weights[kept], 2.0))


def test_the_gain_bounds_the_target() -> None:
    sources, weights = draw(2, 1, 1, 12, 14), some_weights(2, 1, 12, 14)
    sources[..., :5] = sources.amin()
    step = step_at(run_of(sources), 1, None)
    free, bound = (
        Gradients(0.0, 50.0, "mean", gain=gain).start(run_of(sources)).rectify(step, weights)
        for gain in (0.0, 2.0)
    )
    assert torch.equal(bound, kept_dark(free, sources, weights, 2.0))
    assert not torch.equal(bound, free)
    assert (bound[..., :5] <= sources.amin()).all()


def test_a_gain_that_takes_light_away_is_refused() -> None:
    with pytest.raises(UsageError, match="gain is 1 or more"):
        compose(recipe={"objective": {"name": "gradients", "gain": 0.5}})
