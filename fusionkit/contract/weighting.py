"""Weightings: how much each source guides each pixel at each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

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
    weighs_by
        ``gain``, ``residual`` or ``contribution``: the diagnostic of a trace that the weights
        are made from.
    """

    weighs_by: str | None = None


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
"""The kind of weightings: how much each source guides each pixel at each step."""
