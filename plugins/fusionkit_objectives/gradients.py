"""Fusing gradients, and the brightness that they leave open from a base image."""

from __future__ import annotations

import math
import weakref

from torch import Tensor

from fusionkit import Run, StartedObjective, StartedTarget, Step, distinct

from .base import fused_base, hidden_structure, kept_dark
from .differences import gradient, gradient_transposed, solve_screened, weighted_gradient
from .outlines import restored_outlines
from .targets import kept_targets

FALLEN = 11
"""How many times what a place adds falls to 1 / e, so that it matters no more: to 2e-5."""

FARTHEST = 48
"""Pixels around a patch beyond which it is cheaper to solve for the whole image."""


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
    hidden
        How much of :func:`.base.hidden_structure` is added to b, for a base of the largest values,
        which shows nothing of a darker source under a brighter one.
    gain
        How many times as far from black as the brightest source the result may be, see
        :func:`.base.kept_dark`; 0 for no bound.
    targets
        What share of its contrast a hot target of one source keeps, see
        :func:`.targets.kept_targets`; 0 for none.
    cold
        The same of a target that is darker than its surround.
    outlines
        Whether what lies beside outlines is restored in a focus stack, see
        :func:`.outlines.restored_outlines`.
    """

    def __init__(
        self,
        strength: float = 0.0,
        psi: float = 2000.0,
        base: str = "weights",
        hidden: float = 0.0,
        gain: float = 0.0,
        outlines: bool = False,
        targets: float = 0.0,
        cold: float = 0.0,
    ) -> None:
        self.targets = targets
        self.cold = cold
        self.hidden = hidden
        self.gain = gain
        self.outlines = outlines
        self.strength = strength
        self.psi = psi
        self.base = base
        self.uses_trajectory = strength > 0
        self.levels = "all" if strength > 0 else "none"
        self.reach = _reach(self)

    def start(self, run: Run) -> StartedObjective:
        """Begin a run."""
        return _StartedGradients(self, run)


def _reach(objective: Gradients) -> int | None:
    """Return how far sources matter; None for anywhere, or farther than patches are worth it.

    What b or a gradient at one place adds to T falls to 1 / e every sqrt(psi) pixels.
    """
    local = objective.levels == "none" and objective.base == "weights"
    far = objective.hidden or objective.outlines or objective.targets or objective.cold
    if far or not local:
        return None
    pixels = math.ceil(FALLEN * math.sqrt(objective.psi))
    return pixels if pixels <= FARTHEST else None


class _StartedGradients(StartedTarget):
    def __init__(self, objective: Gradients, run: Run) -> None:
        super().__init__(run, objective.strength)
        self.objective = objective
        self._solved: tuple[weakref.ref[Tensor], int, Tensor] | None = None

    def initial(self, weights: Tensor) -> Tensor:
        """Return T of these weights; solved anew only if they are not those of the last time."""
        if self._solved is not None:
            of, version, target = self._solved
            if of() is weights and version == _version(weights) >= 0:
                return target
        self._solved = None  # let go of it before the next is made
        target = self._solve(weights)
        self._solved = weakref.ref(weights), _version(weights), target
        return target

    def _solve(self, weights: Tensor) -> Tensor:
        # Of grey sources there is one channel to solve for, whatever the estimator has.
        sources = distinct(self.run.sources)
        psi = self.objective.psi
        base = fused_base(sources, weights, self.objective.base)
        if self.objective.hidden > 0:
            hidden = hidden_structure(sources, weights)
            base = base.add(hidden, alpha=self.objective.hidden)
        # Solved for T - b, so that brightness is not subject to rounding, times psi, and what
        # b shows already, as where the sources agree, comes back as it was.
        lacking = weighted_gradient(weights, sources)
        own = gradient(base)
        lacking.right.sub_(own.right)
        lacking.below.sub_(own.below)
        difference = solve_screened(gradient_transposed(lacking).mul_(psi), 1.0, psi)
        target = difference.add_(base)
        if self.objective.cold > 0:
            target = -kept_targets(-target, -sources, weights, self.objective.cold)
        if self.objective.targets > 0:  # last: where the sources contradict each other, it holds
            target = kept_targets(target, sources, weights, self.objective.targets)
        if self.objective.gain > 0:
            least = distinct(self.run.least)
            target = kept_dark(target, sources, weights, self.objective.gain, least)
        if self.objective.outlines:
            target = restored_outlines(sources, weights, target)
        return target.expand(self.run.sources.shape[1:])

    def target(self, step: Step, weights: Tensor) -> Tensor:
        """Return T."""
        return self.initial(weights)


def _version(weights: Tensor) -> int:
    """Return how often they have been written to; -1 in inference mode, which does not count."""
    return -1 if weights.is_inference() else weights._version
