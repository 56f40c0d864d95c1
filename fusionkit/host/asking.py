"""Which noise estimators a composition asks: its own, and those that options name instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ..contract.component import BuildContext
from ..contract.estimator import ESTIMATOR
from ..contract.guiding import uses_trajectory
from ..contract.objective import OBJECTIVE
from ..contract.weighting import WEIGHTING
from ..errors import UsageError
from .latents import is_latent
from .parts import Part, levels_of

GUIDING = (WEIGHTING.group, OBJECTIVE.group)


def may_ask(parts: Mapping[str, Part], preparations: Mapping[str, Part]) -> bool:
    """Whether the run's own prior may be asked for anything: False is certain.

    Preparations and a trajectory may ask it, and a prior of latents encodes and decodes. A
    weighting or objective does not if it depends on no level, or names another in its place.
    """
    guiding = [parts[group] for group in GUIDING]
    own = parts.get(ESTIMATOR.group)
    return (
        bool(preparations)
        or any(uses_trajectory(part.built) for part in guiding)
        or any(levels_of(part) != "none" and not priors_instead(part) for part in guiding)
        or (own is not None and is_latent(own))
    )


def priors_instead(part: Part) -> list[Part]:
    """Return the priors that a component's options name in the place of the run's own."""
    others = part.stand_ins.values()
    return [other for other in others if other.provided and other.provided.kind is ESTIMATOR]


def own_prior(
    make: Callable[[BuildContext], Part],
    context: BuildContext,
    guiding: Mapping[str, Part],
    preparations: Mapping[str, Part],
) -> Part:
    """Build the run's own prior, which compiles its network only if it may be asked.

    Raises
    ------
    UsageError
        Networks are to be compiled, and no prior that is asked has compiled one.
    """
    if not context.compile:
        return make(context)
    asked = may_ask(guiding, preparations)
    own = make(context if asked else replace(context, compile=False))
    if not asked and is_latent(own):
        asked, own = True, make(context)
    priors = [own] if asked else []
    priors += [prior for part in guiding.values() for prior in priors_instead(part)]
    if priors and not any(getattr(prior.built, "compiled", False) for prior in priors):
        raise UsageError(f"--compile on: {priors[0].label} compiles no network: leave it off")
    return own
