"""The baseline objective: a weighted squared distance to the sources."""

from __future__ import annotations

from torch import Tensor

from fusionkit import Run, StartedObjective, StartedTarget, Step


class Mse:
    """E(f) = 1/2 Σ_k w_k |f - c_k|².

    Since the weights sum to one, E is, up to a constant, half the squared
    distance to the weighted mean of the sources, and the proximal correction is
    f = (Σ_k w_k c_k + rho x0) / (1 + rho).

    Parameters
    ----------
    strength
        lambda, see :func:`fusionkit.proximal_weights`.
    """

    def __init__(self, strength: float = 0.0) -> None:
        self.strength = strength
        self.uses_trajectory = strength > 0
        self.levels = "all" if strength > 0 else "none"
        self.reach = None if strength > 0 else 0

    def start(self, run: Run) -> StartedObjective:
        """Begin a run; nothing but the proximal weights is kept."""
        return _StartedMse(run, self.strength)


class _StartedMse(StartedTarget):
    def target(self, step: Step, weights: Tensor) -> Tensor:
        """Return the weighted mean of the sources."""
        return self.initial(weights)
