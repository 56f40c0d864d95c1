"""Observations one after another."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from fusionkit import BaseObservation, Identity, UsageError
from fusionkit.contract.chain import start_chain


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


class Halved(BaseObservation):
    def __init__(self) -> None:
        self.solved = 0

    def A(self, c: Tensor) -> Tensor:  # noqa: N802
        return avg_pool2d(c, 2)

    def adjoint(self, y: Tensor) -> Tensor:
        return interpolate(y, scale_factor=2.0) / 4

    def prox(self, z: Tensor, y: Tensor, rho: float) -> Tensor:
        self.solved += 1
        return z + self.adjoint(y - self.A(z)) / (rho + 0.25)


class Shifted(BaseObservation):
    def A(self, c: Tensor) -> Tensor:  # noqa: N802
        return 0.7 * c + 0.3 * c.roll(1, -1)

    def adjoint(self, y: Tensor) -> Tensor:
        return 0.7 * y + 0.3 * y.roll(-1, -1)


class Hidden(BaseObservation):
    """Hides what the source itself says."""

    def start(self, y: Tensor, size: tuple[int, int]) -> Identity:
        return Identity(0.3, (y[:, :1] > 0).to(y.dtype))


SIZE = (8, 12)


def test_operators_follow_one_another_and_noise_adds_up() -> None:
    c, y = drawn(2, 3, *SIZE), drawn(2, 3, 4, 6, seed=1)
    chain = start_chain([Shifted(), Identity(0.4), Halved(), Hidden()], y, SIZE)
    assert torch.equal(chain.A(c), Halved().A(Shifted().A(c)))
    assert torch.equal(chain.adjoint(y), Shifted().adjoint(Halved().adjoint(y)))
    assert chain.sigma == pytest.approx(0.5)
    assert chain.mask is not None
    assert torch.equal(chain.mask, (y[:, :1] > 0).double())


@pytest.mark.parametrize("order", [0, 1])
def test_the_minimiser_of_a_chain(order: int) -> None:
    y, z = drawn(2, 1, 4, 6, seed=1), drawn(2, 1, *SIZE)
    parts = [Hidden(), Shifted(), Halved()] if order else [Shifted(), Halved(), Hidden()]
    chain = start_chain(parts, y, SIZE)
    assert chain.mask is not None
    found = chain.prox(z, y, 0.1)
    slope = chain.adjoint(chain.mask * (chain.A(found) - y)) + 0.1 * (found - z)
    assert slope.abs().max() < 1e-8


def test_one_operator_is_solved_in_closed_form_unless_something_is_hidden() -> None:
    y, z = drawn(1, 1, 4, 6), drawn(1, 1, *SIZE)
    alone, hidden = Halved(), Halved()
    start_chain([alone, Identity(0.1)], y, SIZE).prox(z, y, 0.5)
    chain = start_chain([hidden, Hidden()], y, SIZE)
    found = chain.prox(z, y, 0.5)
    assert (alone.solved, hidden.solved) == (1, 0)
    slope = chain.adjoint(chain.mask * (chain.A(found) - y)) + 0.5 * (found - z)
    assert slope.abs().max() < 1e-9


def test_two_masks_hide_what_either_hides() -> None:
    y = drawn(1, 1, *SIZE)
    left = torch.ones_like(y)
    left[..., :6] = 0
    chain = start_chain([Identity(mask=left), Hidden()], y, SIZE)
    assert chain.mask is not None
    assert torch.equal(chain.mask, left * (y > 0))
    z = drawn(1, 1, *SIZE, seed=3)
    assert torch.equal(chain.prox(z, y, 1.0)[..., :6], z[..., :6])


def test_nothing_is_the_identity() -> None:
    y = drawn(1, 1, *SIZE)
    chain = start_chain([], y, SIZE)
    assert torch.equal(chain.A(y), y)
    assert torch.equal(chain.prox(y, y + 1, 1.0), Identity().prox(y, y + 1, 1.0))
    assert (chain.sigma, chain.mask) == (0.0, None)


def test_what_does_not_fit_is_said() -> None:
    y = drawn(1, 1, 4, 6)
    refused = "images of 12 x 8 pixels are so measured as 12 x 8 pixels, but the source has 6 x 4"
    with pytest.raises(UsageError, match=f"{refused} pixels: add downsample"):
        start_chain([Shifted()], y, SIZE)
    with pytest.raises(UsageError, match=r"but the source has 12 x 8 pixels$"):
        start_chain([Halved()], drawn(1, 1, *SIZE), SIZE)
    nothing = torch.zeros(1, 1, 4, 6)
    with pytest.raises(UsageError, match="the mask hides everything"):
        start_chain([Halved(), Identity(mask=nothing)], y, SIZE)
    y[0, 0, 1, 2] = torch.nan
    with pytest.raises(UsageError, match="add mask=missing"):
        start_chain([Halved()], y, SIZE)
