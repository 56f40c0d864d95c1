"""What weightings and objectives, which guide a run together, may say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from types import MappingProxyType
from typing import Any


class Guiding:
    """What a weighting or an objective has unless it says otherwise.

    Attributes
    ----------
    uses_trajectory
        False promises that ``step.x``, ``step.x0`` and ``step.previous`` are never read.
    levels
        ``"first"`` promises, beside that, that what it returns is the same at every step, and
        depends on the sources and on what the run says of level 0 alone (its constants, noise
        and estimates); ``"none"``, on the sources alone. Nothing more is then run than that
        takes, and the person is told of settings that change nothing. Of an objective it
        speaks of what comes of equal weights at every step.
    sources
        The only K that it can take, or ``"any"``.
    reach
        With ``levels = "none"``: how far away, in pixels, a source may change what is returned for
        a pixel, beyond rounding and what no one sees; ``run.least`` may be used beside that. Where
        both components say so, large images are fused patch by patch, each run over a patch and
        what lies around it, so that the memory does not grow with the image. None: anywhere.
    stand_ins
        What was built of options that stand for a part of the run (``gives_way_to``), by option:
        a record tells its weights as it tells those of the part.
    """

    uses_trajectory: bool = True
    levels: str = "all"
    sources: int | str = "any"
    reach: int | None = None
    stand_ins: Mapping[str, Any] = MappingProxyType({})


def uses_trajectory(component: Any) -> bool:
    """Whether a weighting or objective reads the fused trajectory (True unless it says no)."""
    return bool(getattr(component, "uses_trajectory", Guiding.uses_trajectory))


def reach(component: Any) -> int | None:
    """Return how far sources matter to a weighting or objective, in pixels; None for anywhere.

    Raises
    ------
    ValueError
        It says something that is no number of pixels, or depends on noise levels.
    """
    said = getattr(component, "reach", Guiding.reach)
    if said is None:
        return None
    if not isinstance(said, Integral) or isinstance(said, bool) or said < 0:
        raise ValueError(f"reach is a number of pixels, or None, not {said!r}")
    if levels(component) != "none":
        raise ValueError(f"reach is {said}, and so levels must be 'none'")
    return int(said)


LEVELS = ("none", "first", "all")
"""What ``levels`` can be, from the least that a component may depend on to the most."""


def levels(component: Any) -> str:
    """Return which levels a weighting or objective depends on, one of :data:`LEVELS`.

    Raises
    ------
    ValueError
        It says something else, or that it depends on fewer than all and uses the trajectory.
    """
    said: str = getattr(component, "levels", Guiding.levels)
    if said not in LEVELS:
        raise ValueError(f"levels is one of {', '.join(LEVELS)}, not {said!r}")
    if said != "all" and uses_trajectory(component):
        raise ValueError(f"levels is {said!r}, and so uses_trajectory must be False")
    return said
