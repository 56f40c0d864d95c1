"""The compact network: its preconditioning, which is exact, and its size."""

from __future__ import annotations

import math

import pytest
import torch
from fusionkit_diffusion.compact_network import (
    FEATURES,
    Architecture,
    Denoiser,
    Network,
    column,
    count_parameters,
    forward_flops,
    preconditioning,
    rotation,
)
from torch.utils.flop_counter import FlopCounterMode

from .tiny import TINY, denoiser, images

SIGMAS = torch.tensor([0.01, 0.1, 0.5, 3.0, 157.0], dtype=torch.float64)
DATA = 0.5


def test_the_coefficients_are_those_of_edm() -> None:
    c = preconditioning(SIGMAS, DATA)
    for n, s in enumerate(SIGMAS.tolist()):
        assert float(c.skip[n]) == pytest.approx(DATA**2 / (s**2 + DATA**2))
        assert float(c.out[n]) == pytest.approx(s * DATA / math.sqrt(s**2 + DATA**2))
        assert float(c.into[n]) == pytest.approx(1 / math.sqrt(s**2 + DATA**2))


def test_input_and_target_have_unit_variance() -> None:
    # Variances of c_in y and of (x0 - c_skip y) / c_out, for var x0 = DATA² and var n = 1.
    c = preconditioning(SIGMAS, DATA)
    into = c.into**2 * (DATA**2 + SIGMAS**2)
    target = ((1 - c.skip) ** 2 * DATA**2 + c.skip**2 * SIGMAS**2) / c.out**2
    assert (into - 1).abs().max() < 1e-12
    assert (target - 1).abs().max() < 1e-9  # which cancels at small sigma; the rotation does not


def test_the_rotation_is_the_preconditioning() -> None:
    image, noise = images(5, 3, 4, 4), images(5, 3, 4, 4, seed=1)
    c, (sin, cos) = preconditioning(SIGMAS, DATA), rotation(SIGMAS, DATA)
    y = image + column(SIGMAS) * noise
    u = column(cos) * image / DATA + column(sin) * noise
    v = column(sin) * image / DATA - column(cos) * noise
    assert (u - column(c.into) * y).abs().max() < 1e-12
    assert (v - (image - column(c.skip) * y) / column(c.out)).abs().max() < 1e-9
    # With the true v, the denoiser is right, and so is the noise.
    assert (column(c.skip) * y + column(c.out) * v - image).abs().max() < 1e-12
    assert (column(sin) * u - column(cos) * v - noise).abs().max() < 1e-12


def test_an_untrained_network_is_zero_so_the_denoiser_scales() -> None:
    y = images(5, 3, 8, 12)
    skip = preconditioning(SIGMAS, DATA).skip
    assert torch.equal(Denoiser(TINY).double()(y, SIGMAS), column(skip) * y)


def test_without_biases_it_is_homogeneous_in_its_input_and_planes_together() -> None:
    network = denoiser().network
    assert not [name for name, _ in network.named_parameters() if "bias" in name]
    u, features = images(2, 3, 16, 12), images(2, FEATURES, seed=1)
    for gain in (*network.enter, *network.leave):  # which the level sets, not the image
        gain.weight.zero_()
    once = network(u, features)
    assert once.std() > 0.01
    for factor in (0.01, 7.0):
        assert (network(factor * u, factor * features) - factor * once).abs().max() < 1e-9
    # Not in the image alone: the level is what it is compared with.
    assert (network(7 * u, features) - 7 * once).abs().max() > 1e-3


def test_the_noise_level_matters_at_both_ends() -> None:
    made, u = denoiser(), images(1, 3, 16, 16)

    def change(one: float, other: float) -> float:
        levels = (torch.tensor([s], dtype=torch.float64) for s in (one, other))
        a, b = (made.velocity(u, level) for level in levels)
        return float((a - b).square().mean().sqrt() / a.square().mean().sqrt())

    assert change(0.01, 0.03) > 1e-3
    assert change(40.0, 157.0) > 1e-3
    assert change(0.2, 0.2) == 0


@pytest.mark.parametrize("arch", [TINY, Architecture(widths=(8,)), Architecture((4, 6, 8), 2, 1)])
def test_shapes_and_the_multiple(arch: Architecture) -> None:
    side = arch.multiple_of
    assert side == arch.stem * 2 ** (len(arch.widths) - 1)
    y = images(2, 3, side, 3 * side)
    assert denoiser(arch)(y, SIGMAS[:2]).shape == y.shape


def test_images_and_levels_of_a_batch_do_not_interact() -> None:
    made, y = denoiser(), images(5, 3, 8, 8)
    together = made(y, SIGMAS)
    for n in range(5):
        assert (made(y[n : n + 1], SIGMAS[n : n + 1]) - together[n : n + 1]).abs().max() < 1e-12


def test_only_small_kernels_in_channels_last() -> None:
    kernels = [p.shape for p in Network(Architecture()).parameters()]
    assert {tuple(shape[2:]) for shape in kernels if len(shape) > 2} == {(1, 1), (3, 3)}
    made = denoiser().to(memory_format=torch.channels_last)
    assert made(images(1, 3, 8, 8), SIGMAS[:1]).shape == (1, 3, 8, 8)


def test_the_default_keeps_the_budgets() -> None:
    arch = Architecture()
    assert 2 * count_parameters(arch) <= 12e6 - 20_000  # bytes, and room for the header
    assert forward_flops(arch, 256, 256) <= 40e9


@pytest.mark.parametrize("arch", [Architecture(), TINY])
def test_operations_are_counted_as_torch_does(arch: Architecture) -> None:
    with torch.device("meta"):
        network = Network(arch)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.empty(1, 3, 64, 32), torch.empty(1, FEATURES))
    assert forward_flops(arch, 64, 32) == counter.get_total_flops()


def test_operations_by_hand() -> None:
    # Stem 19 -> 4 and head 4 -> 12 and one block of two 4 -> 4, all 3x3, at half the resolution.
    arch = Architecture(widths=(4,), blocks=1)
    weights = 9 * ((12 + FEATURES) * 4 + 2 * 4 * 4 + 4 * 12)
    assert count_parameters(arch) == weights + 2 * 4 * FEATURES
    assert forward_flops(arch, 20, 10) == 2 * weights * 10 * 5


@pytest.mark.parametrize(
    "wrong", [{"widths": ()}, {"widths": (8, 0)}, {"blocks": 0}, {"stem": 1.5}, {"sigma_data": 0}]
)
def test_impossible_architectures_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="no network has"):
        Architecture(**wrong)
