"""``mse`` and ``increments``, and the correction that they inherit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fusionkit_diffusion.gaussian import GaussianEstimator
from fusionkit_objectives.increments import Increments
from fusionkit_objectives.mse import Mse
from torch import Tensor

from fusionkit import Pipeline, Prior, SampledStep, compose, proximal_weights
from fusionkit.sampling.levels import Schedule, choose_levels
from fusionkit.sampling.run import Run

N = 5
DTYPES = {"float32": 1e-6, "float64": 1e-12}


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1


def pipeline(objective: Any, *, estimator: Any = None, **settings: Any) -> Pipeline:
    settings = {
        "steps": N,
        "start_sigma": 157.0,
        "precision": "float64",
        "device": "cpu",
        **settings,
    }
    return compose(
        estimator=estimator or GaussianEstimator(correlation=4.0),
        weighting=settings.pop("weighting", "fixed"),
        objective=objective,
        **settings,
    )


OBJECTIVES = {"mse": Mse, "increments": Increments}


# What comes out at strength 0 is known


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("K", [2, 3, 5])
@pytest.mark.parametrize("settings", [{}, {"spacing": "edm"}, {"start_sigma": 3.0, "steps": 3}])
def test_equal_weights_end_at_the_mean_of_the_sources(
    objective: str, precision: str, K: int, settings: dict[str, Any]
) -> None:
    sources = draw(K, 2, 1, 7, 6)
    pipe = pipeline(OBJECTIVES[objective](0.0), precision=precision, **settings)
    fused = pipe(sources)
    assert fused.target_only
    assert (fused.image - sources.mean(0)).abs().max() < DTYPES[precision]


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("weighting", ["dig", {"name": "fixed", "weights": [0.7, 0.2, 0.1]}])
def test_identical_sources_come_back(objective: str, precision: str, weighting: Any) -> None:
    sources = draw(1, 2, 1, 7, 6).expand(3, 2, 1, 7, 6)
    pipe = pipeline(OBJECTIVES[objective](0.0), precision=precision, weighting=weighting)
    assert (pipe(sources).image - sources[0]).abs().max() < DTYPES[precision]


def test_mse_ends_at_the_weighted_mean() -> None:
    sources = draw(2, 1, 1, 7, 6)
    pipe = pipeline(Mse(0.0), weighting={"name": "fixed", "weights": [3, 1]})
    expected = 0.75 * sources[0] + 0.25 * sources[1]
    assert (pipe(sources).image - expected).abs().max() < 1e-12


WEIGHTING = {"name": "dig", "window": 3, "consistency": 1, "dynamic": True, "stride": 1}


def test_the_targets_of_increments_are_the_bands_added_up() -> None:
    sources = draw(3, 1, 1, 9, 8)
    done = list(pipeline(Increments(0.0), weighting=WEIGHTING).steps(sources))
    run = _fresh_run(sources)
    estimates = [run.source_estimate(i) for i in range(N + 1)]
    assert torch.equal(estimates[N], sources)
    total = (done[0].weights * estimates[0]).sum(0)
    for i in range(N):
        total = total + (done[i].weights * (estimates[i + 1] - estimates[i])).sum(0)
        assert (done[i].corrected - total).abs().max() < 1e-12
    # The weights do change between the steps, or this were a weighted mean.
    assert (done[0].weights - done[-1].weights).abs().max() > 0.1
    assert (total - (done[-1].weights * sources).sum(0)).abs().max() > 0.05


def test_with_constant_weights_the_bands_telescope() -> None:
    sources = draw(2, 1, 1, 9, 8)
    weighting = {"name": "fixed", "weights": [0.9, 0.1]}
    image = pipeline(Increments(0.0), weighting=weighting)(sources).image
    assert (image - 0.9 * sources[0] - 0.1 * sources[1]).abs().max() < 1e-12


def _fresh_run(sources: Tensor) -> Run:
    schedule = Schedule.of(choose_levels(N, 157.0))
    return Run(sources, [0] * sources.shape[1], GaussianEstimator(correlation=4.0), schedule)


# The initial fusion


def test_initial_fusions() -> None:
    sources = draw(2, 1, 1, 7, 6)
    weights = torch.tensor([0.6, 0.4], dtype=torch.float64).view(2, 1, 1, 1, 1)
    run = _fresh_run(sources)
    expected = 0.6 * sources[0] + 0.4 * sources[1]
    assert (Mse().start(run).initial(weights) - expected).abs().max() < 1e-12
    lowest = run.source_estimate(0)
    expected = 0.6 * lowest[0] + 0.4 * lowest[1]
    assert (Increments().start(run).initial(weights) - expected).abs().max() < 1e-12


# The proximal correction


def test_rho_follows_the_noise_level_down_to_the_strength() -> None:
    run = _fresh_run(draw(2, 1, 1, 4, 4))
    rho = proximal_weights(run, 0.3)
    assert len(rho) == N
    for i in range(N):
        assert rho[i] == pytest.approx(0.3 * (run.sigma[N - 1] / run.sigma[i]) ** 2, rel=1e-12)
    assert rho[-1] == pytest.approx(0.3)  # the last step obeys it too
    assert list(rho) == sorted(rho)
    assert proximal_weights(run, 0) == (0.0,) * N


@pytest.mark.parametrize("strength", [0.1, 2.5])
@pytest.mark.parametrize("weighting", ["fixed", "dig"])
def test_mse_corrects_to_the_proximal_point(strength: float, weighting: str) -> None:
    sources = draw(3, 2, 1, 7, 6)
    done = list(pipeline(Mse(strength), weighting=weighting).steps(sources))
    for step in done:
        run, i = step.step.run, step.step.index
        rho = strength * (run.sigma[N - 1] / run.sigma[i]) ** 2
        target = (step.weights * sources).sum(0)
        expected = (target + rho * step.step.x0) / (1 + rho)
        assert (step.corrected - expected).abs().max() < 1e-12
        # It is the minimiser: E(f) + rho/2 |f - x0|² has no slope there.
        slope = (step.weights * (step.corrected - sources)).sum(0)
        slope = slope + rho * (step.corrected - step.step.x0)
        assert slope.abs().max() < 1e-12


@pytest.mark.parametrize("strength", [0.1, 2.5])
def test_increments_corrects_to_the_proximal_point(strength: float) -> None:
    sources = draw(2, 1, 1, 7, 6)
    hard = list(pipeline(Increments(0.0), weighting="dig").steps(sources))
    soft = list(pipeline(Increments(strength), weighting="dig").steps(sources))
    for target, step in zip(hard, soft, strict=True):
        run, i = step.step.run, step.step.index
        rho = strength * (run.sigma[N - 1] / run.sigma[i]) ** 2
        # dig does not look at the trajectory, so the targets are those of the hard run.
        expected = (target.corrected + rho * step.step.x0) / (1 + rho)
        assert (step.corrected - expected).abs().max() < 1e-12


# Does the fused trajectory matter?


class TwoFaced(Prior):
    """One prior for the sources, another for the fused trajectory.

    With one image in the batch, a call of a single image is the trajectory's:
    sources come by the pair at least.
    """

    channels = 1

    def __init__(self, trajectory: GaussianEstimator) -> None:
        self.sources = GaussianEstimator(correlation=4.0)
        self.trajectory = trajectory
        self.calls = 0

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        if len(x) > 1:
            return self.sources.denoise(x, sigma)
        self.calls += 1
        return self.trajectory.denoise(x, sigma)


def _with_trajectory_priors(objective: Any, weighting: str) -> tuple[list[Tensor], list[int]]:
    sources = draw(2, 1, 1, 16, 16)
    images, calls = [], []
    for correlation in (4.0, 64.0):
        estimator = TwoFaced(GaussianEstimator(exponent=3.0, correlation=correlation))
        steps: list[SampledStep] = []
        pipe = pipeline(objective, estimator=estimator, weighting=weighting)
        images.append(pipe(sources, on_step=steps.append).image)
        calls.append(estimator.calls)
        assert steps[0].step.has_trajectory is (estimator.calls > 0)
    return images, calls


@pytest.mark.parametrize("weighting", ["fixed", "dig"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_with_a_strength_the_trajectory_alone_changes_the_output(
    objective: str, weighting: str
) -> None:
    images, calls = _with_trajectory_priors(OBJECTIVES[objective](0.1), weighting)
    assert calls == [N, N]
    # More than a grey level of 255 in the mean over pixels, far beyond rounding.
    assert (images[0] - images[1]).abs().mean() > 2 / 255


@pytest.mark.parametrize("weighting", ["fixed", "dig"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_at_strength_zero_the_trajectory_is_not_even_evaluated(
    objective: str, weighting: str
) -> None:
    images, calls = _with_trajectory_priors(OBJECTIVES[objective](0.0), weighting)
    assert calls == [0, 0]
    assert torch.equal(*images)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_strength_comes_from_the_option_and_is_off_by_default(objective: str) -> None:
    assert pipeline(objective).target_only
    trusting = pipeline({"name": objective, "strength": 0.5})
    assert trusting.parts["objective"].built.strength == 0.5
    assert not trusting.target_only
