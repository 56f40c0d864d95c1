"""What keeps ``dig`` cheap: a lower resolution, and never estimating twice."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from fusionkit_dig.dig import AUTO_FACTOR, Dig
from fusionkit_dig.losses import LOSSES
from fusionkit_dig.resolution import enlarged, fitting_factor, scaled_window
from torch import Tensor

import fusionkit
from fusionkit import Step, UsageError, box_mean
from fusionkit.testing import make_run
from tests.host.test_pipeline import reading_back_refused
from tests.sampling.test_guide import Counting, draw, pipeline

pytestmark = pytest.mark.usefixtures("a_light_default")

N = 5
SIDE = 128  # the least that is shrunk by 4


def weights_of(dig: Dig, run: Any) -> list[Tensor]:
    weigh = dig.start(run)
    return [weigh(Step(run, i, None, None)) for i in range(run.steps)]


# At a lower resolution


@pytest.mark.parametrize(
    ("factor", "height", "width", "expected"),
    [
        (4, 128, 500, 4),
        (4, 125, 125, 4),  # 31.25 pixels, rounded up
        (4, 124, 500, 2),
        (8, 124, 500, 2),
        (8, 300, 256, 8),
        (8, 40, 40, 1),
        (1, 5, 5, 1),
    ],
)
def test_small_sources_are_shrunk_less(factor: int, height: int, width: int, expected: int) -> None:
    assert fitting_factor(factor, height, width) == expected


@pytest.mark.parametrize(
    ("window", "factor", "expected"),
    [(11, 1, 11), (11, 2, 5), (11, 4, 3), (31, 4, 7), (41, 8, 5), (3, 8, 3), (1, 4, 1), (0, 4, 0)],
)
def test_windows_shrink_with_the_sources(window: int, factor: int, expected: int) -> None:
    assert scaled_window(window, factor) == expected


def test_maps_are_enlarged_about_the_centres_of_their_blocks() -> None:
    small = draw(2, 3, 1, 5, 4)
    found = enlarged(small, 4, 18, 16).numpy()
    assert found.shape == (2, 3, 1, 18, 16)
    y, x = ((np.arange(n) + 0.5) / 4 - 0.5 for n in (18, 16))
    places = np.meshgrid(y.clip(0, 4), x.clip(0, 3), indexing="ij")
    for k, b in itertools.product(range(2), range(3)):
        expected = scipy.ndimage.map_coordinates(small[k, b, 0].numpy(), places, order=1)
        assert np.abs(found[k, b, 0] - expected).max() < 1e-9
    assert enlarged(small, 1, 5, 4) is small


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("loss", LOSSES)
def test_weights_are_those_of_the_shrunk_sources(loss: str, factor: int) -> None:
    run = make_run(draw(2, 2, 1, 130, 137), steps=3)
    dig = Dig(loss=loss, resolution=factor, window=11, stride=1)
    found = weights_of(dig, run)
    small = run.reduced(factor)
    losses = [LOSSES[loss](small.source_estimate(i), small.sources) for i in range(4)]
    for i in range(3):
        gains = box_mean(losses[i] - losses[i + 1], {2: 5, 4: 3}[factor])
        expected = enlarged(dig.weights(gains), factor, 130, 137)
        assert (found[i] - expected).abs().max() < 1e-9
        assert found[i].shape == (2, 2, 1, 130, 137)
        assert (found[i] >= 0).all()
        assert (found[i].sum(0) - 1).abs().max() < 1e-9


@pytest.mark.parametrize("granularity", ["pixel", "region", "image"])
@pytest.mark.parametrize("activation", ["power", "softmax", "hard"])
def test_every_granularity_and_activation_stays_on_the_simplex(
    granularity: str, activation: str
) -> None:
    table = {
        "name": "dig",
        "granularity": granularity,
        "activation": activation,
        "resolution": 2,
    }
    for done in pipeline(None, table, "mse", steps=2).steps(draw(3, 1, 1, 66, 70)):
        assert (done.weights >= 0).all()
        assert (done.weights.sum(0) - 1).abs().max() < 1e-9
        flat = done.weights.flatten(-2)
        assert bool((flat.amax(-1) > flat.amin(-1)).any()) is (granularity != "image")


RENEWALS = 3  # of N = 5 steps, with a stride of 2
FREE: dict[str, Any] = {"name": "mse", "strength": 0}


@pytest.mark.parametrize(
    ("options", "objective", "per_image"),
    [
        ({"stride": 2}, FREE, 2 * RENEWALS / 4),
        ({"stride": 2}, "mse", 2 * RENEWALS / 4 + N),
        ({"stride": 2}, "ddfm-em", 2 * RENEWALS / 4 + N),
        ({}, "increments", 2 * N + N),  # the same estimates, so that they cost nothing
        ({"stride": 1}, "increments", 2 * N + N),
        ({"stride": 1}, FREE, 2 * N / 4),
        ({"dynamic": False}, FREE, 2 / 4),
        ({"dynamic": False}, "increments", 2 * N + N),
        ({"resolution": 1, "stride": 2}, FREE, 2 * RENEWALS),
        ({"resolution": 4, "stride": 1}, FREE, 2 * N / 16),
        ({"resolution": 8, "stride": 1}, FREE, 2 * N / 16),  # 16 pixels would be too few
        ({"resolution": 4, "stride": 1}, "increments", 2 * N / 16 + 2 * N + N),  # as was asked for
    ],
)
def test_what_it_costs(options: dict[str, Any], objective: Any, per_image: float) -> None:
    estimator = Counting()
    fused = pipeline(estimator, {"name": "dig", **options}, objective)(draw(2, 1, 1, SIDE, SIDE))
    assert fused.nfe == per_image
    assert sum(x.numel() for x, _ in estimator.calls) == per_image * SIDE * SIDE


def test_all_its_levels_go_through_the_estimator_together() -> None:
    estimator = Counting()
    pipeline(estimator, "dig", FREE)(draw(2, 1, 1, SIDE, SIDE))
    assert [tuple(x.shape) for x, _ in estimator.calls] == [(2 * N, 1, 64, 64)]


def test_estimates_of_only_some_of_its_levels_do_not_make_the_rest_free() -> None:
    run = make_run(draw(2, 1, 1, SIDE, SIDE), steps=4)
    run.announce([0, 2])
    assert Dig(stride=1).factor(run) == AUTO_FACTOR
    assert Dig(stride=2).factor(run) == 1
    assert Dig(stride=2, resolution=4).factor(run) == 4
    assert Dig(dynamic=False).factor(run) == 1


def test_a_prior_that_smooths_gives_the_sharp_half_the_larger_weight_here_too() -> None:
    texture = scipy.ndimage.gaussian_filter(draw(128, 128).numpy(), 3, mode="mirror") * 8
    blurred = scipy.ndimage.gaussian_filter(texture, 8, mode="mirror")
    left = np.arange(128) < 64
    pair = np.stack([np.where(left, texture, blurred), np.where(left, blurred, texture)])
    run = make_run(torch.from_numpy(pair)[:, None, None].clamp(-1, 1), estimator=Counting())
    for weights in weights_of(Dig(resolution=4), run)[1:]:
        assert float(weights[0, ..., :64].mean() + weights[1, ..., 64:].mean()) / 2 > 0.6


def test_the_order_of_sources_does_not_matter() -> None:
    sources = draw(3, 1, 1, 66, 64)
    straight = weights_of(Dig(resolution=2), make_run(sources))
    turned = weights_of(Dig(resolution=2), make_run(sources[[2, 0, 1]]))
    for a, b in zip(straight, turned, strict=True):
        assert (a[[2, 0, 1]] - b).abs().max() < 1e-9


@pytest.mark.parametrize("objective", ["mse", "increments"])
def test_it_runs_on_the_meta_device(objective: str) -> None:
    pipe = pipeline("gaussian", "dig", objective, device="meta", precision="float32", steps=3)
    fused = pipe(torch.rand(2, 2, 1, SIDE, SIDE + 9))
    assert fused.weights.shape == (2, 2, 1, SIDE, SIDE + 9)
    assert fused.weights.device.type == "meta"


def test_it_reads_nothing_back() -> None:
    steps = pipeline(None, {"name": "dig", "resolution": 2}, "mse").steps(draw(2, 2, 1, 66, 65))
    for _ in range(N):
        with reading_back_refused():
            next(steps)


# Batches


def test_batches_stay_whole() -> None:
    estimator = Counting()
    pipeline(estimator, "dig", "mse")(draw(2, 3, 1, 64, 64))
    assert max(len(x) for x, _ in estimator.calls) == 2 * 3 * N


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"stride": 0}, "stride must be at least 1"),
        ({"skip": 0.5}, "skip"),
        ({"resolution": 3}, "resolution must be one of 0, 1, 2, 4, 8, not 3"),
    ],
)
def test_what_cannot_be_asked_for(options: dict[str, Any], complaint: str) -> None:
    provided = fusionkit.load_plugins().find(fusionkit.WEIGHTING, "dig")
    with pytest.raises(UsageError, match=complaint):
        provided.make_options(options)
