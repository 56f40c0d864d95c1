"""The optimiser of the compact prior: orthogonalised momentum for kernels, Adam for the rest."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

MOMENTUM = 0.95

RMS = 0.6
"""Root mean square of a kernel's update in units of the learning rate. Adam's is about 0.2 to 0.4
(Liu et al., arXiv 2502.16982, section 2.2), so that both parts can share one rate."""

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration, from Jordan's Muon: they bring singular values to between
0.7 and 1.2 in few steps rather than exactly to 1 in many."""

ITERATIONS = 5


class Muon:
    """Muon (K. Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/) beside Adam.

    The update of a kernel, seen as a matrix of outputs by all inputs of one pixel, is its
    momentum with every singular value brought near 1: rare directions move as far as common
    ones. Gains, and the first and the last convolution, whose inputs or outputs are pixels,
    are left to Adam, as its authors advise.

    Measured with this network, after 5 minutes on one core: 33.0 dB at sigma 15 against 30.9
    with Adam alone (photographs held out).

    Parameters
    ----------
    network
        Whose parameters are changed.
    pixelwise
        Names of the modules whose kernels are Adam's.
    """

    def __init__(self, network: nn.Module, pixelwise: tuple[str, ...]) -> None:
        named = dict(network.named_parameters())
        self.kernels = {
            name: weight
            for name, weight in named.items()
            if weight.ndim == 4 and name.split(".")[0] not in pixelwise
        }
        self.others = {name: w for name, w in named.items() if name not in self.kernels}
        self.momenta = {name: torch.zeros_like(weight) for name, weight in self.kernels.items()}
        self.adam = torch.optim.Adam(self.others.values(), betas=(0.9, 0.99), fused=True)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for weight in (*self.kernels.values(), *self.others.values()):
            weight.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Change every weight by its gradient, at this learning rate."""
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()
        for name, weight in self.kernels.items():
            if weight.grad is None:
                continue
            momentum = self.momenta[name].lerp_(weight.grad, 1 - MOMENTUM)
            ahead = weight.grad.lerp(momentum, MOMENTUM)  # Nesterov's
            matrix = _as_matrix(ahead)
            # Singular values of 1 mean a root mean square of 1 / sqrt(longer side).
            size = rate * RMS * math.sqrt(max(matrix.shape))
            _as_matrix(weight).add_(orthogonalised(matrix), alpha=-size)

    def state(self) -> dict[str, Tensor]:
        """Return all that :meth:`load` needs, by names like ``momentum/stem.weight``."""
        tensors = {f"momentum/{name}": momentum for name, momentum in self.momenta.items()}
        for name, weight in self.others.items():
            for part, value in self.adam.state.get(weight, {}).items():
                tensors[f"{part}/{name}"] = value
        return tensors

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Continue from a state; raise KeyError or RuntimeError where it does not fit."""
        for name, momentum in self.momenta.items():
            momentum.copy_(tensors[f"momentum/{name}"])
        for name, weight in self.others.items():
            # In the weights' own memory layout, which fused kernels rely on.
            self.adam.state[weight] = {
                "step": tensors[f"step/{name}"],
                **{
                    part: torch.empty_like(weight).copy_(tensors[f"{part}/{name}"])
                    for part in ("exp_avg", "exp_avg_sq")
                },
            }


def orthogonalised(matrix: Tensor) -> Tensor:
    """Return a matrix (M, N) of the same singular vectors with singular values near 1.

    Newton-Schulz with an odd quintic, on the side with the smaller Gram matrix. In float32:
    in bfloat16 only machines with fast bfloat16 would be faster.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    x = x / x.norm().clamp(min=1e-12)  # the largest singular value is then at most 1
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def _as_matrix(kernel: Tensor) -> Tensor:
    """View (O, I, H, W) in channels_last layout as (O, H W I); the order of columns is free."""
    return kernel.permute(0, 2, 3, 1).view(len(kernel), -1)
