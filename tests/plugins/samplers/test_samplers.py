"""Samplers against what a Gaussian prior makes of them in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_diffusion.gaussian import GaussianEstimator
from fusionkit_samplers.ddim import DDIM
from fusionkit_samplers.direct import Direct
from fusionkit_samplers.heun import Heun
from fusionkit_samplers.pigdm import PiGDM
from torch import Tensor

from fusionkit import SampledStep, Step
from fusionkit.sampling.guide import sample
from fusionkit.sampling.levels import Schedule, choose_levels
from fusionkit.sampling.run import Run
from fusionkit.testing.doubles import ConstantWeights, WhiteGaussian, synthetic_sources

DEVIATION = 0.6
VARIANCE = DEVIATION**2


class Untouched:
    """An objective that corrects nothing, and writes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, bool, Tensor | None]] = []

    def start(self, run: Run) -> Any:
        def rectify(step: Step, weights: Tensor) -> Tensor:
            self.asked.append((step.index, step.provisional, step.previous))
            return step.x0

        return SimpleNamespace(initial=lambda weights: run.sources[0], rectify=rectify)


class Measured:
    """An objective whose answer is exact: y = x0 + deviation n, y the mean of the sources.

    With the variance of x0 given x that is taken for a prior of unit variance,
    r² = sigma² / (1 + sigma²), the mean of both is weighed by their precisions.
    """

    def __init__(self, deviation: float) -> None:
        self.precision = deviation**-2

    def start(self, run: Run) -> Any:
        def rectify(step: Step, weights: Tensor) -> Tensor:
            y = (weights * run.sources).sum(0)
            of_prior = (1 + step.sigma**2) / step.sigma**2
            return (self.precision * y + of_prior * step.x0) / (self.precision + of_prior)

        return SimpleNamespace(initial=lambda weights: run.sources[0], rectify=rectify)


def sampled(
    sampler: Any,
    levels: Sequence[float],
    prior: Any = None,
    objective: Any = None,
    sources: Tensor | None = None,
) -> list[SampledStep]:
    sources = synthetic_sources(2, 2, H=7, W=6) if sources is None else sources
    run = Run(
        sources,
        range(sources.shape[1]),
        WhiteGaussian(DEVIATION) if prior is None else prior,
        Schedule.of(levels),
    )
    done = list(sample(run, ConstantWeights(), objective or Untouched(), sampler))
    run.flags.verify()
    return done


def run_of(done: list[SampledStep]) -> Any:
    return done[0].step.run


def flow(x: Tensor, sigma: float, after: float) -> Tensor:
    """Solve dx / dsigma = (x - x0) / sigma exactly: for a Gaussian, x keeps its quantile."""
    return x * math.sqrt((VARIANCE + after**2) / (VARIANCE + sigma**2))


# DDIM


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_a_ddim_step_is_equation_12(eta: float) -> None:
    levels = choose_levels(6, 80.0)
    done = sampled(DDIM(eta), levels)
    run = run_of(done)
    x = run.sigma[0] * run.noise("fusionkit/start")
    for i, step in enumerate(done):
        assert (step.step.x - x).abs().max() < 1e-10
        sigma, after = run.sigma[i : i + 2]
        x0 = VARIANCE / (VARIANCE + sigma**2) * x
        assert (step.corrected - x0).abs().max() < 1e-10
        # As printed, in x_t = sqrt(alpha) x0 + sqrt(1 - alpha) n.
        alpha, before = 1 / (1 + sigma**2), 1 / (1 + after**2)
        n = (math.sqrt(alpha) * x - math.sqrt(alpha) * x0) / math.sqrt(1 - alpha)
        fresh = eta * math.sqrt((1 - before) / (1 - alpha)) * math.sqrt(1 - alpha / before)
        z = run.noise("fusionkit/ddim", i)
        printed = math.sqrt(before) * x0 + math.sqrt(1 - before - fresh**2) * n + fresh * z
        x = printed / math.sqrt(before)
    assert run.nfe == 2 * len(levels)


def test_ancestral_sampling_ends_in_the_prior() -> None:
    done = sampled(
        DDIM(1.0),
        choose_levels(200, 80.0, "log-sigma"),
        sources=torch.zeros(2, 1, 1, 64, 64, dtype=torch.float64),
    )
    # 4096 squared normals stray by 2.2 %; the steps' own bias is less.
    assert float(done[-1].corrected.square().mean()) == pytest.approx(VARIANCE, rel=0.1)


# Orders


def error_at_the_end(sampler: Any, steps: int) -> float:
    """The error of x at the last level above clean, against the exact flow."""
    done = sampled(sampler, choose_levels(steps, 80.0, "edm"))
    first, last = done[0].step, done[-1].step
    return float((last.x - flow(first.x, first.sigma, last.sigma)).abs().max())


@pytest.mark.parametrize(("sampler", "factor"), [(DDIM(), 2.0), (Heun(), 4.0)])
def test_errors_fall_by_the_order_when_steps_double(sampler: Any, factor: float) -> None:
    errors = [error_at_the_end(sampler, 2**power + 1) for power in (5, 6, 7)]
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(factor, rel=0.15)
    assert errors[-1] < (5e-2 if factor == 2 else 2e-3)


# Heun


def test_heun_is_algorithm_1_of_edm() -> None:
    levels = choose_levels(5, 80.0, "edm")
    done = sampled(Heun(), levels)
    t = np.array([*levels, 0.0])
    x = done[0].step.x.numpy()

    def slope(x: Any, i: int) -> Any:
        return (x - VARIANCE / (VARIANCE + t[i] ** 2) * x) / t[i]

    for i in range(len(levels)):
        assert np.abs(done[i].step.x.numpy() - x).max() < 1e-10
        d = slope(x, i)
        x_next = x + (t[i + 1] - t[i]) * d
        if t[i + 1] != 0:
            x_next = x + (t[i + 1] - t[i]) * (d / 2 + slope(x_next, i + 1) / 2)
        x = x_next
    assert np.abs(done[-1].corrected.numpy() - x).max() < 1e-10


def test_heun_looks_ahead_and_says_so() -> None:
    objective = Untouched()
    done = sampled(Heun(), (20.0, 3.0, 0.4), objective=objective)
    assert [(i, ahead) for i, ahead, _ in objective.asked] == [
        (0, False),
        (1, True),
        (1, False),
        (2, True),
        (2, False),
    ]
    previous = [before for _, _, before in objective.asked]
    assert previous[0] is None
    assert previous[1] is previous[2] is done[0].corrected
    assert previous[3] is previous[4] is done[1].corrected
    assert [each.step.provisional for each in done] == [False] * 3


# Pseudoinverse guidance


def towards(done: list[SampledStep], i: int) -> Tensor:
    """The estimate that a deterministic DDIM step from level i went towards."""
    run = run_of(done)
    kept = run.sigma[i + 1] / run.sigma[i]
    return (done[i + 1].step.x - kept * done[i].step.x) / (1 - kept)


@pytest.mark.parametrize("deviation", [0.05, 0.5, 3.0])
def test_pigdm_goes_towards_the_exact_posterior_mean(deviation: float) -> None:
    sources = synthetic_sources(2, 2, H=7, W=6)
    y = sources.mean(0)
    done = sampled(
        PiGDM(), choose_levels(6, 80.0), WhiteGaussian(1.0), Measured(deviation), sources
    )
    for i, each in enumerate(done):
        sigma = each.step.sigma
        # Three measurements of x0: the prior's, 0 of variance 1; x; and y.
        precision = 1 + sigma**-2 + deviation**-2
        exact = (each.step.x * sigma**-2 + y * deviation**-2) / precision
        assert (each.corrected - exact).abs().max() < 1e-10
        if i + 1 < len(done):
            assert (towards(done, i) - exact).abs().max() < 1e-10


@pytest.mark.parametrize("rate", [1.0, 0.3])
def test_pigdm_carries_corrections_through_the_priors_jacobian(rate: float) -> None:
    prior = GaussianEstimator(correlation=4.0)
    done = sampled(PiGDM(rate=rate), choose_levels(4, 80.0), prior, Measured(0.3))
    for i in range(len(done) - 1):
        step = done[i].step
        sigma = torch.full((2,), step.sigma, dtype=torch.float64)
        assert (step.x0 - prior.denoise(step.x, sigma)).abs().max() < 1e-12
        # J is the estimate itself, which is linear and symmetric.
        carried = prior.denoise(done[i].corrected - step.x0, sigma)
        expected = step.x0 + rate * (1 + step.sigma**2) * carried
        assert (towards(done, i) - expected).abs().max() < 1e-9


def test_ancestral_pigdm_samples_the_posterior() -> None:
    deviation = 0.5
    sources = torch.full((2, 1, 1, 64, 64), 0.8, dtype=torch.float64)
    done = sampled(
        PiGDM(eta=1.0),
        choose_levels(200, 80.0, "log-sigma"),
        WhiteGaussian(1.0),
        Measured(deviation),
        sources,
    )
    mean, variance = 0.8 / (1 + deviation**2), deviation**2 / (1 + deviation**2)
    assert float(done[-1].corrected.mean()) == pytest.approx(mean, abs=0.03)
    assert float(done[-1].corrected.var()) == pytest.approx(variance, rel=0.1)


def test_what_a_step_showed_stays_as_it_was() -> None:
    class Kept(WhiteGaussian):
        """Hands out the image that it was given."""

        def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
            return x

    for sampler in (DDIM(), Heun(), PiGDM()):
        seen = []
        run = Run(synthetic_sources(2, 2, H=7, W=6), (0, 1), Kept(), Schedule.of((20.0, 3.0, 0.4)))
        for each in sample(run, ConstantWeights(), Measured(0.3), sampler):
            tensors = each.step.x, each.step.x0, each.corrected, each.weights
            seen.append([(tensor, tensor.clone()) for tensor in tensors])
        assert len(seen) == 3
        assert all(torch.equal(now, was) for step in seen for now, was in step)


# What they cost


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize(
    ("sampler", "per_image"),
    [(DDIM(), lambda N: N), (Heun(), lambda N: 2 * N - 1), (PiGDM(), lambda N: 2 * N - 1)],
)
def test_evaluations_are_counted(sampler: Any, per_image: Any, steps: int) -> None:
    done = sampled(sampler, choose_levels(steps, 80.0))
    assert run_of(done).nfe == 2 * per_image(steps)
    assert [each.step.index for each in done] == list(range(steps))
    assert done[-1].corrected.shape == (2, 1, 7, 6)


def test_without_a_trajectory_nothing_is_evaluated() -> None:
    class Targets:
        uses_trajectory = False

        def start(self, run: Run) -> Any:
            return SimpleNamespace(
                initial=lambda weights: run.sources[0],
                rectify=lambda step, weights: (weights * run.sources).sum(0) * step.sigma,
            )

    done = sampled(Direct(), (2.0, 0.5), objective=Targets())
    assert run_of(done).nfe == 0
    assert not any(each.step.has_trajectory for each in done)
    mean = run_of(done).sources.mean(0)
    assert torch.equal(done[0].corrected, 2.0 * mean)
    assert torch.equal(done[1].corrected, 0.5 * mean)


def test_the_gradient_of_the_clean_level_is_the_identity() -> None:
    run = Run(synthetic_sources(H=7, W=6), (0,), WhiteGaussian(), Schedule.of((2.0, 0.5)))
    x = run.noise("toy")
    assert run.gradient(x, 2, x) is x
    assert run.nfe == 0
    assert (run.gradient(x, 1, x) - x / 2).abs().max() < 1e-12
    assert run.nfe == 1
