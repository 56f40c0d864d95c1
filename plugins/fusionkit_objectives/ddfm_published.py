"""DDFM's EM for two sources in fixed parts, as its paper states it and as its code computes it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from fusionkit import Run, StartedObjective, Step, image_mean, proximal_weights

from .differences import Gradient, gradient, gradient_transposed, solve_screened

EPSILON = 1e-3
"""In the E-step, of which the released code has the square, 1e-6."""


class _Published:
    """What both forms share: two sources, and the clean estimate as EM's starting point."""

    sources = 2
    uses_trajectory = True

    def __init__(
        self,
        strength: float = 0.0,
        psi: float = 0.5,
        eta: float = 0.01,
        iterations: int = 1,
        scales: str = "fixed",
    ) -> None:
        self.strength = strength
        self.psi = psi
        self.eta = eta
        self.iterations = iterations
        self.learn_scales = scales == "learned"


class DdfmPaper(_Published):
    """The EM objective of DDFM, as the paper states it (Zhao et al., ICCV 2023, section 3.3).

    Source 1 is the infrared image i, source 2 the visible one v. With x = f - v and
    y = i - v, both Laplace terms are Gaussian scale mixtures of unknown scales
    gamma and rho, and the M-step is

        min_x |m ⊙ (x - y)|² + |n ⊙ x|² + psi |∇x|²,    f = x + v,

        E: m² = sqrt(2 / gamma) / |y - x|,    n² = sqrt(2 / rho) / |x|,
           gamma = mean(1 / m² + gamma / 2),  rho = mean(1 / n² + rho / 2)   per image
        M: k = (1 + ∇ᵀ∇)⁻¹ (x + ∇ᵀu),    u = eta / (2 psi + eta) ∇k,
           x = (2 m² y + eta k) / (2 m² + 2 n² + eta).

    Ours: borders are mirrored; m² and n² are multiplied by 2 w_1 and 2 w_2, so that equal
    weights leave the published form; the proximal term is added to the last line.
    x begins at x0 - v at every sampling step; u, gamma and rho are carried along.

    Parameters
    ----------
    strength
        lambda, see :func:`fusionkit.proximal_weights`; 0 is the paper, which has no such term
        and where the clean estimate still is what EM begins with.
    psi, eta
        Weights of the gradient term and of the half-quadratic splitting.
    iterations
        Passes of EM per sampling step; the paper has one.
    """

    def start(self, run: Run) -> StartedObjective:
        """Begin a run with scales of one."""
        return _StartedPaper(self, run)


class DdfmReleased(_Published):
    """The EM step of DDFM's released code, with all that sets it apart from the paper.

    Its X = f - v and Y = i - v are the paper's, but it returns i - X instead of
    X + v, which mirrors the estimate about the mean of the sources: with i = +1
    and v = -1 an estimate of +0.9 comes back as -0.9. Further, n² is cut off at 2 m²;
    the gradient term is on Y - X; the auxiliary gradient has the opposite sign,
    and the value itself in the last column and row; borders are periodic.

    Nothing is added but the weights, as in :class:`DdfmPaper`, and scales per image;
    there is no proximal term, and the strength is not read.
    """

    def start(self, run: Run) -> StartedObjective:
        """Begin a run with scales of one."""
        return _StartedReleased(self, run)


class _StartedPublished(ABC):
    def __init__(self, objective: _Published, run: Run) -> None:
        self.objective = objective
        self.run = run
        self.infrared, self.visible = run.sources.unbind(0)
        zero = torch.zeros_like(self.infrared)
        self.u = Gradient(zero, zero)
        self.gamma = self.rho = torch.ones_like(zero[:, :1, :1, :1])

    def initial(self, weights: Tensor) -> Tensor:
        """Return the weighted mean of the sources."""
        return (weights * self.run.sources).sum(0)

    def rectify(self, step: Step, weights: Tensor) -> Tensor:
        """Return the clean estimate after some passes of EM."""
        f = step.x0
        for _ in range(self.objective.iterations):
            f = self.one_pass(f, step, weights)
        return f

    @abstractmethod
    def one_pass(self, f: Tensor, step: Step, weights: Tensor) -> Tensor:
        """Return f after one E-step and one M-step."""

    def renew_scales(self, m: Tensor, n: Tensor) -> None:
        """Set gamma and rho to the mean of the expected variances, image by image."""
        self.gamma = image_mean(1 / (m + 1e-10) + self.gamma / 2, (1, 2, 3), keepdim=True)
        self.rho = image_mean(1 / (n + 1e-10) + self.rho / 2, (1, 2, 3), keepdim=True)


class _StartedPaper(_StartedPublished):
    def __init__(self, objective: _Published, run: Run) -> None:
        super().__init__(objective, run)
        self.proximal = proximal_weights(run, objective.strength)

    def one_pass(self, f: Tensor, step: Step, weights: Tensor) -> Tensor:
        """Return x + v."""
        psi, eta = self.objective.psi, self.objective.eta
        x, y = f - self.visible, self.infrared - self.visible
        m = (2 / self.gamma / ((y - x).square() + EPSILON**2)).sqrt()
        n = (2 / self.rho / (x.square() + EPSILON**2)).sqrt()
        if self.objective.learn_scales:
            self.renew_scales(m, n)
        k = solve_screened(x + gradient_transposed(self.u), 1.0, 1.0)
        right, below = gradient(k)
        shrink = eta / (2 * psi + eta)
        self.u = Gradient(shrink * right, shrink * below)
        m, n = 2 * weights[0] * m, 2 * weights[1] * n
        prior = self.proximal[step.index]
        pull = 2 * m * y + eta * k + prior * (step.x0 - self.visible)
        return self.visible + pull / (2 * m + 2 * n + eta + prior)


class _StartedReleased(_StartedPublished):
    def one_pass(self, f: Tensor, step: Step, weights: Tensor) -> Tensor:
        """Return i - X."""
        psi, eta = self.objective.psi, self.objective.eta
        x, y = f - self.visible, self.infrared - self.visible
        m = (2 / self.gamma / (y - x + EPSILON**2).square().clamp_min(1e-30)).sqrt()
        n = (2 / self.rho / (x.square() + EPSILON**2)).sqrt()
        n = torch.minimum(n, 2 * m)
        self.renew_scales(m, n)
        k = _solve_periodic(y - x, self.u)
        shrink = eta / (2 * psi + eta)
        self.u = Gradient(shrink * _drop(k, -1), shrink * _drop(k, -2))
        m, n = 2 * weights[0] * m, 2 * weights[1] * n
        return self.infrared - (2 * m * y + eta * (y - k)) / (2 * m + 2 * n + eta)


def _drop(image: Tensor, axis: int) -> Tensor:
    """Return each pixel minus its next neighbour, which beyond the border is zero."""
    last = image.narrow(axis, image.shape[axis] - 1, 1)
    return torch.cat([-image.diff(dim=axis), last], axis)


def _solve_periodic(image: Tensor, u: Gradient) -> Tensor:
    """Return (1 + ∇ᵀ∇)⁻¹ (image + ∇ᵀu) for the forward differences ∇ of a periodic image."""
    transposed = u.right.roll(1, -1) - u.right + u.below.roll(1, -2) - u.below
    H, W = image.shape[-2:]
    rows = 2 - 2 * torch.cos(2 * math.pi / H * _count(H, image)).unsqueeze(-1)
    columns = 2 - 2 * torch.cos(2 * math.pi / W * _count(W // 2 + 1, image))
    spectrum = torch.fft.rfft2(image + transposed) / (1 + rows + columns)
    solved: Tensor = torch.fft.irfft2(spectrum, s=(H, W))
    return solved


def _count(n: int, like: Tensor) -> Tensor:
    return torch.arange(n, dtype=like.dtype, device=like.device)
