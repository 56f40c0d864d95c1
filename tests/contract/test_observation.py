"""Observations: their proximal point in closed form and by conjugate gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from fusionkit import BaseObservation, Identity


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


class Plain(BaseObservation):
    """The identity, without its closed form."""

    def __init__(self, mask: Tensor | None) -> None:
        self.mask = mask

    def A(self, c: Tensor) -> Tensor:  # noqa: N802
        return c

    def adjoint(self, y: Tensor) -> Tensor:
        return y


class Blocks(BaseObservation):
    """Means over blocks of 2 x 2 pixels: a sensor of a lower resolution."""

    def __init__(self, mask: Tensor | None = None) -> None:
        self.mask = mask

    def A(self, c: Tensor) -> Tensor:  # noqa: N802
        return avg_pool2d(c, 2)

    def adjoint(self, y: Tensor) -> Tensor:
        return interpolate(y, scale_factor=2.0) / 4


MASKS = {
    "none": None,
    "soft": torch.rand(2, 1, 6, 8, generator=torch.Generator().manual_seed(3)).double(),
    "hard": (torch.arange(48).view(1, 1, 6, 8) % 3 > 0).double(),
    "nothing": torch.zeros(1, 1, 6, 8, dtype=torch.float64),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("rho", [1e-3, 0.5, 20.0])
def test_the_closed_form_of_the_identity_is_what_conjugate_gradients_find(
    mask: str, rho: float
) -> None:
    z, y = drawn(2, 3, 6, 8), drawn(2, 3, 6, 8, seed=1)
    found = Identity(mask=MASKS[mask]).prox(z, y, rho)
    solved = Plain(MASKS[mask]).prox(z, y, rho)
    assert (found - solved).abs().max() < 1e-9
    known = torch.ones(1, 1, 6, 8).double() if MASKS[mask] is None else MASKS[mask]
    gradient = known * (found - y) + rho * (found - z)
    assert gradient.abs().max() < 1e-12
    if mask == "nothing":
        assert (found - z).abs().max() < 1e-12


@pytest.mark.parametrize("observation", [Identity(0.1), Plain(None), Blocks()], ids=["I", "P", "B"])
def test_the_adjoint_is_one(observation: BaseObservation) -> None:
    c = drawn(2, 3, 6, 8)
    y = drawn(*observation.A(c).shape, seed=1)
    left, right = float((observation.A(c) * y).sum()), float((c * observation.adjoint(y)).sum())
    assert left == pytest.approx(right, rel=1e-12)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("rho", [1e-3, 0.5, 20.0])
def test_conjugate_gradients_solve_the_normal_equations(rho: float, masked: bool) -> None:
    mask = (torch.arange(12).view(1, 1, 3, 4) % 4 > 0).double() if masked else None
    z, y = drawn(2, 3, 6, 8), drawn(2, 3, 3, 4, seed=1)
    observation = Blocks(mask)
    c = observation.prox(z, y, rho)
    weight = torch.ones(1, 1, 3, 4).double() if mask is None else mask
    gradient = observation.adjoint(weight * (observation.A(c) - y)) + rho * (c - z)
    assert gradient.abs().max() < 1e-9
    # By the inversion lemma, since A A^T is 1 / 4.
    closed = z + observation.adjoint(y - observation.A(z)) / (rho + 0.25)
    if not masked:
        assert (c - closed).abs().max() < 1e-9


def test_images_are_solved_one_by_one_and_in_float32() -> None:
    z, y = drawn(2, 1, 6, 8).float(), drawn(2, 1, 3, 4, seed=1).float()
    z[1] *= 1e-3
    y[1] = Blocks().A(z)[1]  # solved from the start
    both = Blocks().prox(z, y, 0.3)
    for b in range(2):
        alone = Blocks().prox(z[b : b + 1], y[b : b + 1], 0.3)
        assert (both[b : b + 1] - alone).abs().max() < 1e-6
    assert (both[1] - z[1]).abs().max() < 1e-9
    assert both.dtype == torch.float32
    exact = Blocks().prox(z.double(), y.double(), 0.3)
    assert (both - exact).abs().max() < 1e-5


def test_an_identity_says_its_noise() -> None:
    assert (Identity().sigma, Identity().mask) == (0.0, None)
    assert Identity(0.2).sigma == 0.2
    assert BaseObservation.sigma == 0.0
