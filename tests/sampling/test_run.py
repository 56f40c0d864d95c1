"""What a run offers beside its sources: other sizes, what is announced, what it has cost."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_dig.dig import Dig
from fusionkit_objectives.increments import Increments
from fusionkit_objectives.mse import Mse
from fusionkit_samplers.ddim import DDIM
from torch import Tensor

from fusionkit import PluginError, UsageError, compose, distinct, weighted_sum
from fusionkit.sampling.cache import EstimateCache, RunCache
from fusionkit.sampling.guide import sample
from fusionkit.sampling.levels import Schedule, choose_levels
from fusionkit.sampling.run import Run, shrunk
from fusionkit.testing import ConstantWeights
from tests.sampling.test_guide import Counting, draw

N = 5


def make_run(sources: Tensor, estimator: Any = None, steps: int = N) -> Run:
    estimator = estimator or Counting(channels=sources.shape[2])
    schedule = Schedule.of(choose_levels(steps, 80.0))
    return Run(sources, list(range(sources.shape[1])), estimator, schedule)


# Sources at a lower resolution


@pytest.mark.parametrize(("height", "width", "factor"), [(8, 12, 4), (7, 9, 2), (5, 3, 4)])
def test_sources_are_shrunk_by_block_means_of_the_mirrored_image(
    height: int, width: int, factor: int
) -> None:
    images = draw(2, 1, 3, height, width)
    down, right = -height % factor, -width % factor
    pads = (0, 0), (0, 0), (0, 0), (0, down), (0, right)
    whole = np.pad(images.numpy(), pads, "symmetric")
    rows, columns = whole.shape[-2] // factor, whole.shape[-1] // factor
    expected = whole.reshape(2, 1, 3, rows, factor, columns, factor).mean((-3, -1))
    found = shrunk(images, factor)
    assert found.shape == expected.shape
    assert np.abs(found.numpy() - expected).max() < 1e-12


def test_a_reduced_run_is_a_run_of_the_smaller_sources() -> None:
    estimator = Counting(multiple_of=8)
    run = make_run(draw(2, 3, 1, 20, 31), estimator)
    small = run.reduced(2)
    assert small is run.reduced(2)
    assert run.reduced(1) is run
    assert small.sources.shape == (2, 3, 1, 10, 16)
    assert (small.steps, small.sigma, small.seeds) == (run.steps, run.sigma, run.seeds)
    noise = small.noise("fusionkit/sources")
    assert noise.shape == (3, 1, 10, 16)
    assert torch.equal(noise, small.noise("fusionkit/sources"))
    for level in (0, 3):
        noisy = small.sources + run.sigma[level] * noise
        expected = small.clean_estimate(noisy.flatten(0, 1), level).view_as(small.sources)
        assert (small.source_estimate(level) - expected).abs().max() < 1e-12
    assert {x.shape[-2:] for x, _ in estimator.calls} == {(16, 16)}  # padded on its own
    assert small.source_estimate(N) is small.sources
    with pytest.raises(ValueError, match="factor of 1 or more, not 0"):
        run.reduced(0)


def test_noise_of_another_resolution_is_noise_of_its_own() -> None:
    run = make_run(draw(2, 1, 1, 64, 64))
    noises = [small.noise("toy").flatten()[:256] for small in (run, run.reduced(2), run.reduced(4))]
    correlation = torch.corrcoef(torch.stack(noises))
    assert (correlation - torch.eye(3)).abs().max() < 0.25


def test_announced_levels_are_made_in_one_batch_at_each_resolution() -> None:
    estimator = Counting()
    run = make_run(draw(2, 1, 1, 8, 8), estimator)
    run.announce([0])
    run.reduced(2).announce(range(N))
    run.reduced(2).source_estimate(0)
    assert [x.shape for x, _ in estimator.calls] == [(2 * N, 1, 4, 4)]
    run.source_estimate(0)
    assert estimator.calls[-1][0].shape == (2, 1, 8, 8)


def test_evaluations_count_by_their_area() -> None:
    run = make_run(draw(2, 1, 1, 20, 30))
    run.source_estimate(0)
    assert run.nfe == 2
    run.reduced(2).source_estimate(0)
    assert run.nfe == run.reduced(2).nfe == 2.5
    run.reduced(4).source_estimate(1)  # 5 x 8 pixels: the last column is mirrored
    assert run.nfe == 2.5 + 2 * 40 / 600


def test_any_size_can_be_estimated_and_counts_by_its_area() -> None:
    estimator = Counting(multiple_of=8, channels=3)
    run = make_run(draw(2, 1, 3, 16, 16), estimator)
    x = draw(4, 3, 5, 12)
    clean = run.clean_estimate(x, 1)
    assert clean.shape == x.shape
    assert estimator.calls[0][0].shape == (4, 3, 8, 16)
    assert run.nfe == 4 * 60 / 256
    assert run.clean_estimate(x, N) is x
    for wrong in (x[:, :1], x[0], x[None]):
        with pytest.raises(PluginError, match="returned images to estimate of shape"):
            run.clean_estimate(wrong, 0)


def test_estimates_of_a_reduced_run_are_released_and_kept_like_the_rest() -> None:
    run = make_run(draw(2, 1, 1, 8, 8))
    small = run.reduced(2)
    small.announce(range(N))
    estimates = [small.source_estimate(i) for i in range(N)]
    run.release_before(3)
    assert list(small._held) == [3, 4]
    assert small.announced == {3, 4}
    assert small.source_estimate(3) is estimates[3]
    assert run.nfe == 2 * N / 4  # nothing was made again
    small.source_estimate(1)
    assert run.nfe == 2 * (N + 1) / 4


# What is announced


def test_a_weighting_sees_what_the_objective_has_announced() -> None:
    seen = []

    class Looking(ConstantWeights):
        def start(self, run: Any) -> Any:
            seen.append(run.announced)
            return super().start(run)

    for objective in (Mse(0.1), Increments(0.1)):
        for _ in sample(make_run(draw(2, 1, 1, 8, 8)), Looking(), objective, DDIM()):
            pass
    assert seen == [frozenset(), frozenset(range(N))]


def test_announced_levels_are_those_that_lie_ahead() -> None:
    run = make_run(draw(2, 1, 1, 8, 8))
    run.announce([1, 3, N])
    assert run.announced == {1, 3}  # level N is there anyway
    assert run.reduced(2).announced == frozenset()
    run.release_before(2)
    assert run.announced == {3}


# One source at a time


def filling(estimator: Counting, pixels: int) -> Counting:
    estimator.pixels_per_pass = pixels  # type: ignore[attr-defined]
    return estimator


@pytest.mark.parametrize("cached", [False, True])
def test_large_estimates_of_one_source_are_those_of_all_and_are_not_kept(tmp_path, cached) -> None:
    sources = draw(3, 1, 1, 8, 8)
    alone = make_run(sources, filling(Counting(), 64))
    whole = make_run(sources, filling(Counting(), 64))
    if cached:
        alone._cache = RunCache(EstimateCache(tmp_path), {}, sources, (0,))
    alone.announce(range(N), singly=True)
    assert alone.announced == frozenset()
    for k in range(3):
        found = alone.source_estimate(1, k)
        assert torch.equal(found, whole.source_estimate(1)[k])
        assert alone.nfe == k + 1
    assert list(alone._held) == []
    assert torch.equal(alone.source_estimate(N, 2), sources[2])
    if cached:
        alone._cache.write()  # as is done after sampling
    alone.source_estimate(1, 0)
    assert alone.nfe == (3 if cached else 4)


def test_estimates_of_one_source_are_shared_where_they_are_small_or_wanted_whole() -> None:
    for pixels in (256, 64):  # four images, and one
        estimator = filling(Counting(), pixels)
        run = make_run(draw(2, 1, 1, 8, 8), estimator)
        run.announce([0, 2], singly=pixels == 256)
        for level in (0, 2):
            for k in range(2):
                run.source_estimate(level, k)
        assert len(estimator.calls) == (1 if pixels == 256 else 4)
        assert run.nfe == 4
        assert sorted(run._held) == [0, 2]


def test_dig_of_large_images_is_that_of_small_ones_and_estimates_nothing_twice() -> None:
    sources = draw(2, 1, 1, 8, 8)
    for objective, nfe in ((Mse(0.1), 3 * N), (Increments(0.1), 3 * N)):
        results = []
        for pixels in (64, 2**20):
            run = make_run(sources, filling(Counting(), pixels))
            done = list(sample(run, Dig(stride=1, resolution=1, window=3), objective, DDIM()))
            assert run.nfe == nfe
            results.append(done[-1].corrected)
        assert (results[0] - results[1]).abs().max() < 1e-12


def test_a_finished_step_is_not_held_while_the_next_is_made() -> None:
    seen: list[weakref.ref[Tensor]] = []

    class Looking(Counting):
        def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
            assert [ref() for ref in seen] == [None] * len(seen)
            return super().denoise(x, sigma)

    def note(done: Any) -> None:
        seen.extend([weakref.ref(done.step.x), weakref.ref(done.step.x0)])

    objects: Any = {"estimator": Looking(), "weighting": ConstantWeights(), "objective": Mse(0.1)}
    compose(**objects, steps=N, device="cpu")(draw(2, 1, 1, 8, 8), on_step=note)
    assert len(seen) == 2 * N


# Grey sources


def test_grey_sources_reach_components_as_one_channel_expanded() -> None:
    grey = draw(2, 1, 1, 8, 9)
    run = make_run(grey.expand(2, 1, 3, 8, 9), Counting(channels=3))
    for each, size in ((run, (8, 9)), (run.reduced(2), (4, 5))):
        assert distinct(each.sources).shape == (2, 1, 1, *size)
        assert each.sources.shape == (2, 1, 3, *size)
    assert torch.equal(run.reduced(2).sources[:, :, 1:2], shrunk(grey, 2))
    colour = draw(2, 1, 3, 8, 9)
    assert distinct(colour) is colour


@pytest.mark.parametrize("channels", [1, 3])
def test_a_weighted_sum_is_that_of_the_products(channels: int) -> None:
    images = draw(3, 2, channels, 5, 6)
    images = images if channels == 3 else images.expand(3, 2, 3, 5, 6)
    weights = draw(3, 2, 1, 5, 6, seed=4)
    found = weighted_sum(weights, images)
    assert found.shape == images.shape[1:]
    assert (found - (weights * images).sum(0)).abs().max() < 1e-12


# Another prior


def test_a_run_with_another_prior_has_its_estimates_and_counts_them() -> None:
    grey = draw(2, 3, 1, 20, 31)
    run = make_run(grey.expand(-1, -1, 3, -1, -1), Counting(channels=3))
    prior = Counting(channels=None)
    other = run.with_prior(prior, "the other")
    assert other is run.with_prior(prior, "the other")
    assert (other.steps, other.sigma, other.seeds) == (run.steps, run.sigma, run.seeds)
    assert torch.equal(other.sources, grey)
    own = make_run(grey, Counting(channels=1))
    assert torch.equal(other.source_estimate(0), own.source_estimate(0))
    assert torch.equal(other.reduced(2).source_estimate(0), own.reduced(2).source_estimate(0))
    assert run.nfe == other.nfe == own.nfe > 0
    run.source_estimate(0)
    assert run.nfe == other.nfe == own.nfe + 2 * 3


def test_another_prior_has_its_own_channels() -> None:
    grey = draw(2, 1, 1, 8, 9)
    wide = make_run(grey).with_prior(Counting(channels=3))
    assert torch.equal(wide.sources, grey.expand(-1, -1, 3, -1, -1))
    assert wide.source_estimate(0).shape == (2, 1, 3, 8, 9)
    colour = make_run(draw(2, 1, 2, 8, 9), Counting(channels=2))
    assert colour.with_prior(Counting(channels=1)).source_estimate(0).shape == (2, 1, 2, 8, 9)
    with pytest.raises(UsageError, match="it takes 3 channels, and sources have 2"):
        colour.with_prior(Counting(channels=3), "it")


def test_another_prior_has_to_know_the_levels() -> None:
    prior = Counting()
    prior.sigma_max = 10.0  # type: ignore[misc]
    with pytest.raises(UsageError, match=r"^level 80: it knows levels up to 10: start there, or b"):
        make_run(draw(2, 1, 1, 8, 9)).with_prior(prior, "it")
    prior.sigma_max = None  # type: ignore[misc, assignment]
    with pytest.raises(PluginError, match="it: sigma_min and sigma_max: "):
        make_run(draw(2, 1, 1, 8, 9)).with_prior(prior, "it")


def test_estimates_of_another_prior_are_released_and_not_written_to() -> None:
    run = make_run(draw(2, 1, 1, 8, 9))
    other = run.with_prior(Counting())
    estimate = weakref.ref(other.source_estimate(0))
    run.release_before(1)
    assert estimate() is None
    other.source_estimate(1).add_(1)
    with pytest.raises(PluginError, match="wrote to the sources or their estimates"):
        run.refuse_writing("it")
