"""Weightings: how much each source guides each pixel at each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from .guiding import Guiding
from .kind import SOURCE_SYMMETRIC, Kind, members

if TYPE_CHECKING:
    from torch import Tensor

    from .run import Run, Step


@runtime_checkable
class StartedWeighting(Protocol):
    """A weighting in one run; a plain function will do. All state of the run lives here."""

    def __call__(self, step: Step) -> Tensor:
        """Return the weights of this step: (K, B, 1, H, W), >= 0, summing to 1 over K.

        Their dtype is that of ``run.sources``, as with all that components return.
        """
        ...


@runtime_checkable
class Weighting(Protocol):
    """How much each source guides each pixel, step by step. Immutable and reusable.

    What it may have besides is in :class:`BaseWeighting`.
    """

    def start(self, run: Run) -> StartedWeighting:
        """Begin a run, after the objective has: do here what is done once."""
        ...


class BaseWeighting(Guiding):
    """What a weighting has unless it says otherwise; it need not inherit this.

    Attributes
    ----------
    plan
        ``plan(run)`` returns the increasing indices of the steps to run, None for all; the only
        place where values may be read back to the host. Images are then fused one at a time, so
        that a plan made from one does not change another's result. The attribute may itself be
        None, which says that this object plans nothing: batches stay whole.
    weighs_by
        ``gain``, ``residual`` or ``contribution``: the diagnostic of a trace that the weights
        are made from.
    """

    plan: Callable[[Run], Sequence[int] | None] | None = None
    weighs_by: str | None = None


def plans(weighting: Any) -> bool:
    """Whether a weighting plans the steps of each image (False unless it has a plan)."""
    return getattr(weighting, "plan", BaseWeighting.plan) is not None


def planned_steps(weighting: Any, run: Run) -> Sequence[int] | None:
    """Ask a weighting for its plan, if it has one."""
    steps: Sequence[int] | None = weighting.plan(run) if plans(weighting) else None
    return steps


WEIGHTING = Kind(
    group="weighting",
    title="weighting",
    hook="fusionkit_weightings",
    summary="how much each source guides each pixel at each step",
    protocol=Weighting,
    optional=members(BaseWeighting),
    traits=frozenset({SOURCE_SYMMETRIC}),
    in_recipes=True,
)
