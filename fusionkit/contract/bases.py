"""Base classes for objectives: state an energy or a target, inherit the correction.

An objective corrects the clean estimate x0 of step i by the proximal map

    f = argmin_f E(f) + rho_i / 2 |f - x0|²,    rho_i = strength (sigma_min / sigma_i)²

(method: DiffPIR, arXiv 2305.08995). ``strength`` is the lambda of the literature:
how much the diffusion prior is trusted against the sources. 0 makes E's minimiser
a hard target, which the fused trajectory cannot influence.

Importing this module imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from .protocols import Run, Step


def proximal_weights(run: Run, strength: float) -> tuple[float, ...]:
    """Return rho_i for i = 0 ... N-1: at the last step, whose sigma is least, it is strength."""
    least = run.sigma[run.steps - 1]
    return tuple(strength * (least / sigma) ** 2 for sigma in run.sigma[: run.steps])


class StartedTarget:
    """A started objective that is a target.

    E(f) = |f - target|² / 2, so that the corrected estimate is

        f = (target + rho x0) / (1 + rho).

    Subclasses implement :meth:`target`, and :meth:`initial` if the first fusion
    is not the weighted mean of the sources.
    """

    def __init__(self, run: Run, strength: float) -> None:
        self.run = run
        self.rho = proximal_weights(run, strength)

    def target(self, step: Step, weights: Tensor) -> Tensor:
        """Return what the sources alone ask for at this step, (B, C, H, W)."""
        raise NotImplementedError

    def initial(self, weights: Tensor) -> Tensor:
        """Return the weighted mean of the sources."""
        from ..ops.channels import weighted_sum

        return weighted_sum(weights, self.run.sources)

    def rectify(self, step: Step, weights: Tensor) -> Tensor:
        """Return the proximal point between target and clean estimate."""
        target = self.target(step, weights)
        rho = self.rho[step.index]
        return target if rho == 0 else (rho * step.x0).add_(target).div_(1 + rho)


class StartedEnergy:
    """A started objective that is a differentiable energy, minimised by Adam from x0.

    Subclasses implement :meth:`energy`. Nothing is differentiated through the
    noise estimator: x0 is a constant here. The steps are sign-like (Adam,
    arXiv 1412.6980), so ``rate`` is in units of image values, of which [-1, 1]
    has two.

    Parameters
    ----------
    run
        The run.
    strength
        lambda; the energy is a sum over pixels and channels, like the proximal term.
    iterations, rate
        How many Adam steps per sampling step, and their size.
    """

    def __init__(self, run: Run, strength: float, iterations: int = 20, rate: float = 0.02) -> None:
        self.run = run
        self.rho = proximal_weights(run, strength)
        self.iterations = iterations
        self.rate = rate

    def energy(self, f: Tensor, step: Step, weights: Tensor) -> Tensor:
        """Return E(f), (B,): differentiable in ``f`` (B, C, H, W)."""
        raise NotImplementedError

    def initial(self, weights: Tensor) -> Tensor:
        """Return the weighted mean of the sources."""
        from ..ops.channels import weighted_sum

        return weighted_sum(weights, self.run.sources)

    def rectify(self, step: Step, weights: Tensor) -> Tensor:
        """Return x0 moved towards the minimiser of the energy plus the proximal term."""
        import torch

        x0 = step.x0.detach()
        rho = self.rho[step.index]
        f, first, second = x0.clone(), torch.zeros_like(x0), torch.zeros_like(x0)
        for n in range(1, self.iterations + 1):
            with torch.enable_grad():
                f = f.detach().requires_grad_(True)
                total = self.energy(f, step, weights).sum() + rho / 2 * (f - x0).square().sum()
                (gradient,) = torch.autograd.grad(total, f)
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient.square()
            scaled = (second / (1 - 0.999**n)).sqrt() + 1e-8
            # The rate falls to zero, or the last steps would only jitter around the minimum.
            rate = self.rate * (1 - (n - 1) / self.iterations)
            f = f.detach() - rate * (first / (1 - 0.9**n)) / scaled
        return f
