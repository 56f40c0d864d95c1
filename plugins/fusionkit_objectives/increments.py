"""Fusing what each denoising step adds: the denoiser's scale space in a pyramid's place."""

from __future__ import annotations

from torch import Tensor

from fusionkit import Run, StartedObjective, StartedTarget, Step

from .base import fused_base


class Increments:
    """Fuse the increments of the sources' clean estimates, step by step.

    With ĉ_k(i) the clean estimate of source k from level i (ĉ_k(N) = c_k) and the
    band Δ_k(i) = ĉ_k(i + 1) - ĉ_k(i), the target of step i is T_{i+1},

        T_0 = Σ_k w_k(0) ĉ_k(0),    T_{i+1} = T_i + Σ_k w_k(i) Δ_k(i),

    and E(f) = |f - T_{i+1}|² / 2. The bands of a source sum to the source, so with
    equal weights T_N is the mean of the sources exactly, and of identical
    sources the source itself. ĉ_k(0) is the lowest band, what the noisiest
    level still shows.

    Parameters
    ----------
    strength
        lambda, see :func:`fusionkit.proximal_weights`.
    base
        How T_0 is made of the ĉ_k(0), see :func:`.base.fused_base`; the sum above is
        ``weights``.
    """

    def __init__(self, strength: float = 0.0, base: str = "weights") -> None:
        self.strength = strength
        self.base = base
        self.uses_trajectory = strength > 0

    def start(self, run: Run) -> StartedObjective:
        """Announce every level: each step needs the bands on either side of it."""
        run.announce(range(run.steps))
        return _StartedIncrements(run, self.strength, self.base)


class _StartedIncrements(StartedTarget):
    def __init__(self, run: Run, strength: float, base: str) -> None:
        super().__init__(run, strength)
        self._base = base
        self._total: Tensor | None = None

    def initial(self, weights: Tensor) -> Tensor:
        """Return T_0."""
        return fused_base(self.run.source_estimate(0), weights, self._base)

    def target(self, step: Step, weights: Tensor) -> Tensor:
        """Return T_{i+1}."""
        here = self.run.source_estimate(step.index)
        after = self.run.source_estimate(step.index + 1)
        base = self.initial(weights) if self._total is None else self._total
        self._total = base + (weights * (after - here)).sum(0)
        return self._total
