"""Fusing gradients, and the brightness that they leave open from a base image."""

from __future__ import annotations

from torch import Tensor

from fusionkit import Run, StartedObjective, StartedTarget, Step

from .base import fused_base
from .differences import Gradient, gradient, gradient_transposed, solve_screened


class Gradients:
    """Take each edge from the source that the weights prefer, and integrate.

    The target of step i is the image T whose gradient is nearest to the weighted gradients of
    the sources, and which is loosely tied to a base image b,

        T = argmin_T |T - b|² + psi |∇T - Σ_k w_k(i) ∇c_k|²
          = (1 + psi ∇ᵀ∇)⁻¹ (b + psi ∇ᵀ Σ_k w_k ∇c_k),

    solved exactly by a cosine transform (mirrored borders), and E(f) = |f - T|² / 2. Weights
    that switch from one source to another leave no edge of their own, as they do where
    intensities are weighted: the difference of brightness is spread, over about sqrt(psi) pixels.

    Fusion in the gradient domain is that of Socolinsky and Wolff (IEEE Trans. Image
    Process. 11, 2002, 923-931); the screened form is that of Bhat et al. (ECCV 2008).

    Parameters
    ----------
    strength
        lambda, see :func:`fusionkit.proximal_weights`.
    psi
        Weight of the gradients against the base.
    base
        How b is made of the sources, see :func:`.base.fused_base`.
    """

    def __init__(self, strength: float = 0.1, psi: float = 2000.0, base: str = "weights") -> None:
        self.strength = strength
        self.psi = psi
        self.base = base
        self.uses_trajectory = strength > 0

    def start(self, run: Run) -> StartedObjective:
        """Begin a run: the gradients of the sources are taken once."""
        return _StartedGradients(self, run)


class _StartedGradients(StartedTarget):
    def __init__(self, objective: Gradients, run: Run) -> None:
        super().__init__(run, objective.strength)
        self.objective = objective
        self.gradients = gradient(run.sources)

    def initial(self, weights: Tensor) -> Tensor:
        """Return T of these weights."""
        psi = self.objective.psi
        base = fused_base(self.run.sources, weights, self.objective.base)
        right, below = ((weights * each).sum(0) for each in self.gradients)
        return solve_screened(base + psi * gradient_transposed(Gradient(right, below)), 1.0, psi)

    def target(self, step: Step, weights: Tensor) -> Tensor:
        """Return T."""
        return self.initial(weights)
