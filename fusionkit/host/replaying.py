"""What a record is replayed with, beside what it was made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from ..contract.estimator import ESTIMATOR, NoiseEstimator
from ..contract.preparation import BasePreparation
from ..errors import FusionkitError
from .pipeline import Pipeline

_SIDE = 64  # pixels of a rehearsal


def other_weights(pipeline: Pipeline, recorded: Mapping[str, str]) -> list[str]:
    """Return a line for each component whose weights are not those of the record.

    Parameters
    ----------
    pipeline
        What was composed.
    recorded
        The SHA-256 of weights by component (:attr:`fusionkit.recipes.layers.Merged.weights`).
    """
    parts = {**pipeline.parts, **pipeline.preparations}
    parts |= {
        f"{name}.{option}": other
        for name, part in parts.items()
        for option, other in part.stand_ins.items()
    }
    found = []
    for name, then in sorted(recorded.items()):
        part = parts.get(name)
        if part is None or part.provided is None:
            continue
        now = getattr(part.built, "weights_sha256", None)
        if now != then and (name != ESTIMATOR.group or _asks(pipeline)):
            which = f"SHA-256 {now[:12]}, not {then[:12]}" if now else f"none, not {then[:12]}"
            found.append(
                f"{part.label}: its weights are not those that the record was made with "
                f"({which}): the image will differ"
            )
    return found


class _Unasked:
    """A prior that answers nothing, in the place of one."""

    def __init__(self, estimator: NoiseEstimator) -> None:
        self.channels = estimator.channels
        self.multiple_of = estimator.multiple_of
        self.sigma_min, self.sigma_max = estimator.sigma_min, estimator.sigma_max

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        raise NotImplementedError

    def vjp(self, x: Tensor, sigma: Tensor, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


def _asks(pipeline: Pipeline) -> bool:
    """Whether a pipeline asks its prior for anything: components may do without, or have others.

    It is tried on a thumbnail. What fails there for another reason counts as asking.
    """
    usual = BasePreparation.evaluations
    made = [type(part.built) for part in pipeline.preparations.values()]
    if any(getattr(kind, "evaluations", usual) is not usual for kind in made):
        return True
    prior = pipeline.parts[ESTIMATOR.group]
    parts = {**pipeline.parts, ESTIMATOR.group: replace(prior, built=_Unasked(prior.built))}
    sources = torch.linspace(-1, 1, 2 * _SIDE**2).view(2, 1, 1, _SIDE, _SIDE)
    try:
        Pipeline(parts, pipeline.settings, pipeline.context)(sources, seed=0)
    except FusionkitError:
        return True
    return False
