"""Objectives: how weighted sources correct the clean estimate.

An objective corrects the clean estimate x0 of step i by the proximal map

    f = argmin_f E(f) + rho_i / 2 |f - x0|²,    rho_i = strength (sigma_min / sigma_i)²

(method: DiffPIR, arXiv 2305.08995). ``strength`` is the lambda of the literature:
how much the diffusion prior is trusted against the sources. 0 makes E's minimiser
a hard target, which the fused trajectory cannot influence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .guiding import Guiding
from .kind import SOURCE_SYMMETRIC, Kind, members

if TYPE_CHECKING:
    from torch import Tensor

    from .run import Run, Step

IDENTITY_PRESERVING = "identity-preserving"
"""Trait: identical sources are a fixed point.

With a trajectory that agrees with them, and so in a run without one, they come back.
"""


@runtime_checkable
class StartedObjective(Protocol):
    """An objective in one run. All state of the run lives here."""

    def initial(self, weights: Tensor) -> Tensor:
        """Return a first fusion from weights alone: (B, C, H, W) in about [-1, 1].

        Called at most once, before the first ``rectify``, when the run starts
        from a noised initial fusion.
        """
        ...

    def rectify(self, step: Step, weights: Tensor) -> Tensor:
        """Return ``step.x0`` corrected towards the sources, (B, C, H, W)."""
        ...


@runtime_checkable
class Objective(Protocol):
    """How weighted sources correct the clean estimate. Immutable and reusable.

    Where neither it nor the weighting uses the trajectory, the noise estimator is not evaluated
    on it, and the record calls the run "target only". What it may have besides is in
    :class:`BaseObjective`.
    """

    def start(self, run: Run) -> StartedObjective:
        """Begin a run: do here what is done once."""
        ...


class BaseObjective(Guiding):
    """What an objective has unless it says otherwise; it need not inherit this."""


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


OBJECTIVE = Kind(
    group="objective",
    title="objective",
    hook="fusionkit_objectives",
    summary="how weighted sources correct the clean estimate",
    protocol=Objective,
    optional=members(BaseObjective),
    traits=frozenset({SOURCE_SYMMETRIC, IDENTITY_PRESERVING}),
    in_recipes=True,
)
"""The kind of objectives: how weighted sources correct the clean estimate."""
