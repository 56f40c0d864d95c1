"""Settings and options that cannot change what a composition makes, found by what it declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..contract.options import idle_options
from ..recipes.finding import Origin
from .asking import GUIDING, may_ask, priors_instead

if TYPE_CHECKING:
    from .parts import Part
    from .pipeline import Pipeline

_LEVELS = ("steps", "start-sigma", "spacing", "sigmas", "init")
"""What chooses the levels of a run."""


def idle(pipeline: Pipeline) -> dict[str, str]:
    """Return what changes no pixel of any result, by flag (``weighting.stride``), and why.

    It follows from what components declare: whether they use the trajectory and which levels they
    depend on (:mod:`fusionkit.contract.guiding`), and which of their options matter beside the
    others (:func:`fusionkit.option`). What is not in it may change something.
    """
    found = _idle_settings(pipeline) | _idle_prior(pipeline)
    for group, part in pipeline.parts.items():
        found |= {f"{group}.{name}": why for name, why in _idle_options(part).items()}
    return found


def complaints(pipeline: Pipeline, origins: Mapping[str, Origin]) -> list[str]:
    """Return a line for every reason why something that was chosen for this run changes nothing.

    Parameters
    ----------
    pipeline
        What was composed.
    origins
        Whose its values are, by flag (:class:`fusionkit.recipes.layers.Merged`).
    """
    by_reason: dict[str, list[str]] = {}
    for flag, why in idle(pipeline).items():
        for said, origin in origins.items():
            # What chooses a component chooses its options.
            if origin.by_hand and (said == flag or said.startswith(f"{flag}.")):
                by_reason.setdefault(why, []).append(f"--{said}")
    return [
        f"{' and '.join(flags)} {'change' if len(flags) > 1 else 'changes'} nothing here: {why}"
        for why, flags in by_reason.items()
    ]


def _idle_settings(pipeline: Pipeline) -> dict[str, str]:
    settings = pipeline.settings
    found: dict[str, str] = dict(idle_options(settings))

    def note(why: str, *names: str) -> None:
        for name in names:
            found.setdefault(name, why)

    weighting, objective = (pipeline.parts[group].table["name"] for group in GUIDING)
    both = f"weighting {weighting} and objective {objective}"
    if pipeline.levels == "none":
        note(f"{both} depend on no noise level", *_LEVELS)
        made = [part.built for part in pipeline.preparations.values()]
        if not made:
            note(f"{both} ask for no estimate and no noise", "seed", "tile", "compile")
        elif pipeline.parts["estimator"].built.channels in (None, 1) and not any(
            getattr(built, "uses_seed", True) for built in made
        ):  # priors of colour split grey images by some noise
            note(f"{both} ask for no noise", "seed")
    if settings.sigmas:
        note("--sigmas names the levels", "steps", "start-sigma", "spacing")
    if pipeline.levels == "first":
        note(f"{both} depend on the first noise level alone", "steps", "spacing")
    if pipeline.target_only:
        note(f"{both} do not look at the fused trajectory, which is left out", "sampler", "init")
    elif pipeline.schedule.steps == 1:
        note("there is one step, and none after it", "spacing")
    return found


def _idle_prior(pipeline: Pipeline) -> dict[str, str]:
    """Say so of the run's own prior where others are named in its place, and nobody asks it.

    Where nobody asks any, its channels may still show in the last bits.
    """
    guiding = {group: pipeline.parts[group] for group in GUIDING}
    instead = [
        f"{group} {part.table['name']} asks {prior.table['name']} instead"
        for group, part in guiding.items()
        for prior in priors_instead(part)
    ]
    if not instead or may_ask(pipeline.parts, pipeline.preparations):
        return {}
    return {"estimator": f"{' and '.join(instead)}, and nothing else asks for an estimate"}


def _idle_options(part: Part) -> dict[str, str]:
    if part.provided is None:
        return {}
    values = {name: value for name, value in part.table.items() if name != "name"}
    return idle_options(part.provided.make_options(values))
