"""``ddfm-em`` against a dense reference, its energy, and what is known of its limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_objectives.ddfm_em import DdfmEm
from fusionkit_objectives.ddfm_published import DdfmPaper, DdfmReleased
from fusionkit_objectives.differences import Gradient, gradient, gradient_transposed, solve_screened
from torch import Tensor

from fusionkit import UsageError, compose

from . import dense
from .common import draw, run_of, some_weights, step_at

SIZES = [(2, 2), (2, 5), (5, 4), (7, 6)]


def constants(*values: float) -> Tensor:
    return torch.stack([torch.full((1, 1, 3, 4), v, dtype=torch.float64) for v in values])


# The solve


@pytest.mark.parametrize(("H", "W"), [*SIZES, (1, 1), (1, 6)])
def test_differences_are_those_of_the_explicit_matrices(H: int, W: int) -> None:
    image, other = draw(H, W), draw(H, W, seed=1)
    right, below = dense.differences(H, W)
    got = gradient(image)
    assert np.allclose(got.right.ravel(), right @ image.numpy().ravel(), atol=1e-14)
    assert np.allclose(got.below.ravel(), below @ image.numpy().ravel(), atol=1e-14)
    transposed = right.T @ image.numpy().ravel() + below.T @ other.numpy().ravel()
    assert np.allclose(gradient_transposed(Gradient(image, other)).ravel(), transposed, atol=1e-14)


@pytest.mark.parametrize(("H", "W"), [*SIZES, (1, 1), (1, 6)])
@pytest.mark.parametrize("smoothness", [0.0, 0.3, 20.0])
def test_the_solve_is_exact(H: int, W: int, smoothness: float) -> None:
    side = draw(2, 3, H, W)
    right, below = dense.differences(H, W)
    matrix = 0.7 * np.eye(H * W) + smoothness * (right.T @ right + below.T @ below)
    expected = np.linalg.solve(matrix, side.numpy().reshape(6, -1).T).T.reshape(2, 3, H, W)
    assert np.abs(solve_screened(side, 0.7, smoothness).numpy() - expected).max() < 1e-12


# The symmetric form


@pytest.mark.parametrize(("H", "W"), SIZES)
@pytest.mark.parametrize("K", [2, 3, 6])
@pytest.mark.parametrize("strength", [0.0, 0.4])
def test_symmetric_is_the_dense_reference_over_several_steps(
    H: int, W: int, K: int, strength: float
) -> None:
    sources = draw(K, 2, 1, H, W)
    run = run_of(sources)
    started = DdfmEm(strength, psi=0.8, eta=1.3, iterations=3).start(run)
    carried: list[Any] = [None, None]
    for index in range(run.steps):
        weights, x0 = some_weights(K, 2, H, W, seed=index), draw(2, 1, H, W, seed=20 + index)
        got = started.rectify(step_at(run, index, x0 if strength else None), weights)
        rho = strength * (run.sigma[run.steps - 1] / run.sigma[index]) ** 2
        for b in range(2):
            c, w = sources[:, b, 0].numpy(), weights[:, b, 0].numpy()
            was = carried[b]
            begin = x0[b, 0].numpy()
            if not strength:
                begin = (w * c).sum(0) if was is None else was[0]
            carried[b] = dense.symmetric(
                begin, begin if was is None else was[1], c, w, begin, rho, 0.8, 1.3, 3
            )
            assert np.abs(got[b, 0].numpy() - carried[b][0]).max() < 1e-10


@pytest.mark.slow
def test_every_iteration_lowers_the_energy_down_to_its_minimum() -> None:
    sources, weights, x0 = draw(3, 1, 1, 5, 4), some_weights(3, 1, 5, 4), draw(1, 1, 5, 4, seed=9)
    run = run_of(sources)
    last = run.steps - 1
    c, w = sources[:, 0, 0].numpy(), weights[:, 0, 0].numpy()

    def joint(f: np.ndarray, u: np.ndarray) -> float:
        return dense.joint_energy(f, u, c, w, x0[0, 0].numpy(), 0.5, 0.7, 2.0)

    energies = []
    for iterations in (1, 2, 4, 8, 16, 3000):
        started: Any = DdfmEm(0.5, psi=0.7, eta=2.0, iterations=iterations).start(run)
        f = started.rectify(step_at(run, last, x0), weights)[0, 0].numpy()
        u = started._u[0, 0].numpy()
        energies.append(joint(f, u))
    assert energies == sorted(energies, reverse=True)
    assert energies[0] - energies[-1] > 0.01  # one pass is not convergence
    # J is convex, so where no direction leads down, it is least.
    generator = np.random.default_rng(0)
    for _ in range(200):
        df, du = generator.normal(size=(2, 5, 4)) * 1e-3
        assert joint(f + df, u + du) > energies[-1]


def test_between_two_constants_the_minimiser_is_a_hard_switch() -> None:
    sources = constants(0.8, -0.4)
    run = run_of(sources)
    for share, winner in ((0.7, 0.8), (0.55, 0.8), (0.3, -0.4)):
        weights = constants(share, 1 - share)
        started = DdfmEm(0.0, iterations=300).start(run)
        f = started.rectify(step_at(run, 0, None), weights)
        assert (f - winner).abs().max() < 0.01


@pytest.mark.parametrize("value", [-0.3, 0.1, 0.7])
def test_at_equal_weights_the_estimate_stays_where_it_is(value: float) -> None:
    sources, x0 = constants(0.8, -0.4), constants(value)[0]
    run = run_of(sources)
    started = DdfmEm(0.1, iterations=50).start(run)
    f = started.rectify(step_at(run, 0, x0), constants(0.5, 0.5))
    assert (f - x0).abs().max() < 2e-3


def test_one_pass_is_not_convergence_but_the_steps_go_on_from_each_other() -> None:
    sources, weights = draw(2, 1, 1, 6, 5), some_weights(2, 1, 6, 5)
    run = run_of(sources)
    long = DdfmEm(0.0, iterations=20).start(run)
    short = DdfmEm(0.0, iterations=5).start(run)
    once = [short.rectify(step_at(run, index, None), weights) for index in range(4)]
    converged = long.rectify(step_at(run, 0, None), weights)
    assert (once[0] - converged).abs().max() > 1e-3
    assert (once[3] - converged).abs().max() < 1e-12


def test_the_gradient_term_brings_in_the_weighted_gradients() -> None:
    sources, weights = draw(2, 1, 1, 7, 6), some_weights(2, 1, 7, 6)
    run = run_of(sources)
    wanted = gradient(sources)
    far = []
    for psi in (0.0, 1.0, 100.0):
        f = DdfmEm(0.0, psi=psi, iterations=200).start(run).rectify(step_at(run, 0, None), weights)
        got = gradient(f)
        cost = sum((weights * (a - b).square()).sum() for a, b in zip(got, wanted, strict=True))
        far.append(float(cost))
    assert far[0] > far[1] > far[2]


# As published


@pytest.mark.parametrize(("H", "W"), SIZES)
@pytest.mark.parametrize("scales", ["fixed", "learned"])
def test_paper_is_the_dense_reference_over_several_steps(H: int, W: int, scales: str) -> None:
    sources = draw(2, 2, 1, H, W)
    run = run_of(sources)
    started = DdfmPaper(0.4, psi=0.5, eta=0.2, iterations=2, scales=scales).start(run)
    learn = scales == "learned"
    slow = [dense.Paper(*sources[:, b, 0].numpy(), 0.5, 0.2, learn) for b in range(2)]
    for index in range(run.steps):
        weights, x0 = some_weights(2, 2, H, W, seed=index), draw(2, 1, H, W, seed=20 + index)
        got = started.rectify(step_at(run, index, x0), weights)
        prior = 0.4 * (run.sigma[run.steps - 1] / run.sigma[index]) ** 2
        for b, reference in enumerate(slow):
            f = start = x0[b, 0].numpy()
            for _ in range(2):
                f = reference.one_pass(f, weights[:, b, 0].numpy(), prior, start)
            assert np.abs(got[b, 0].numpy() - f).max() < 1e-10


@pytest.mark.parametrize(("H", "W"), SIZES)
def test_released_is_the_dense_reference_over_several_steps(H: int, W: int) -> None:
    sources = draw(2, 2, 1, H, W)
    run = run_of(sources)
    started = DdfmReleased(0.1, psi=0.5, eta=0.2).start(run)
    slow = [dense.Released(*sources[:, b, 0].numpy(), 0.5, 0.2) for b in range(2)]
    for index in range(run.steps):
        weights, x0 = some_weights(2, 2, H, W, seed=index), draw(2, 1, H, W, seed=20 + index)
        got = started.rectify(step_at(run, index, x0), weights)
        for b, reference in enumerate(slow):
            f = reference.one_pass(x0[b, 0].numpy(), weights[:, b, 0].numpy())
            assert np.abs(got[b, 0].numpy() - f).max() < 1e-9


@pytest.mark.parametrize(("estimate", "returned"), [(0.9, -0.9), (0.5, -0.5)])
def test_released_mirrors_the_estimate_and_paper_does_not(estimate: float, returned: float) -> None:
    run = run_of(constants(1.0, -1.0))
    step, half = step_at(run, 0, constants(estimate)[0]), constants(0.5, 0.5)
    assert (DdfmReleased().start(run).rectify(step, half) - returned).abs().max() < 1e-3
    assert (DdfmPaper().start(run).rectify(step, half) - estimate).abs().max() < 0.01


def test_learned_scales_let_one_source_win_and_equal_ones_leave_the_estimate() -> None:
    sources = draw(2, 1, 1, 16, 16)
    run, half = run_of(sources), torch.full((2, 1, 1, 16, 16), 0.5, dtype=torch.float64)
    away = {}
    for scales in ("learned", "fixed"):
        started = DdfmPaper(scales=scales, iterations=40).start(run)
        between = 0.6 * sources[0] + 0.4 * sources[1]
        f = started.rectify(step_at(run, 0, between), half)
        away[scales] = (f - sources[0]).abs().mean() / (sources[1] - sources[0]).abs().mean()
    assert away["learned"] < 1e-3
    assert 0.3 < away["fixed"] < 0.5


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_published_forms_are_for_two_sources_and_tell_them_apart(variant: str) -> None:
    table = {"name": "ddfm-em", "variant": variant}
    pipe = compose(
        estimator="gaussian",
        weighting="fixed",
        objective=table,
        steps=3,
        precision="float64",
        device="cpu",
    )
    with pytest.raises(UsageError, match="takes 2 sources, not 3"):
        pipe(draw(3, 1, 1, 6, 5))
    sources = draw(2, 1, 1, 6, 5)
    assert (pipe(sources).image - pipe(sources.flip(0)).image).abs().max() > 1e-4


def test_options_reach_the_variants() -> None:
    def built(**options: Any) -> Any:
        table = {"name": "ddfm-em", **options}
        pipe = compose(estimator="gaussian", weighting="fixed", objective=table, device="cpu")
        return pipe.parts["objective"].built

    assert isinstance(built(), DdfmEm)
    own = DdfmEm()
    got = built()
    assert (got.psi, got.eta, got.iterations) == (own.psi, own.eta, own.iterations)
    assert built(psi=0).psi == 0
    with pytest.raises(UsageError, match="psi must be -1 or at least 0"):
        built(psi=-0.5)
    paper = built(variant="paper", psi=2.0)
    assert isinstance(paper, DdfmPaper)
    assert (paper.psi, paper.eta, paper.iterations) == (2.0, 0.01, 1)
    assert not paper.learn_scales
    assert built(variant="paper", scales="learned").learn_scales
    released = built(variant="released", eta=0.5, iterations=3)
    assert isinstance(released, DdfmReleased)
    assert (released.eta, released.iterations) == (0.5, 3)
