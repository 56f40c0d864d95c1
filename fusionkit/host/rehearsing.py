"""A pipeline tried on a thumbnail, with another prior in the place of its own."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..contract.estimator import ESTIMATOR, NoiseEstimator
from ..contract.preparation import BasePreparation
from ..errors import FusionkitError
from .asking import may_ask
from .parts import Fused
from .pipeline import Pipeline

SIDE = 128
"""Pixels: NFE does not depend on the size, as long as what shrinks its sources still can."""


class WhitePrior:
    """A prior that takes no time in another's place: of white images, pixel by pixel."""

    def __init__(self, estimator: NoiseEstimator) -> None:
        self.channels = estimator.channels
        self.multiple_of = estimator.multiple_of
        self.sigma_min, self.sigma_max = estimator.sigma_min, estimator.sigma_max

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the posterior mean, for pixels with a variance of 1/4."""
        return x / (1 + 4 * sigma.square().view(-1, 1, 1, 1))

    def vjp(self, x: Tensor, sigma: Tensor, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        """Return the estimate and its gradient."""
        return self.denoise(x, sigma), self.denoise(cotangent, sigma)


class _Unasked(WhitePrior):
    """A prior that answers nothing."""

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        raise NotImplementedError


def rehearsed(
    pipeline: Pipeline,
    count: int = 2,
    size: tuple[int, int] = (SIDE, SIDE),
    prior: type[WhitePrior] = WhitePrior,
) -> Fused:
    """Fuse ``count`` sources (H, W), larger ones on a thumbnail, by another prior.

    Preparations are left out.
    """
    estimator = pipeline.parts[ESTIMATOR.group]
    stand_in = replace(estimator, built=prior(estimator.built))
    parts = {**pipeline.parts, ESTIMATOR.group: stand_in}
    height, width = (min(side, SIDE) for side in size)
    sources = torch.linspace(-1, 1, count * height * width).view(count, 1, 1, height, width)
    return Pipeline(parts, pipeline.settings, pipeline.context)(sources, seed=0)


def asks(pipeline: Pipeline) -> bool:
    """Whether a pipeline asks its prior for anything: components may do without, or have others.

    Where they do not declare it, it is rehearsed. What fails there for another reason counts as
    asking.
    """
    if not may_ask(pipeline.parts, pipeline.preparations):
        return False
    usual = BasePreparation.evaluations
    made = [type(part.built) for part in pipeline.preparations.values()]
    if pipeline.latent or any(getattr(kind, "evaluations", usual) is not usual for kind in made):
        return True
    try:
        rehearsed(pipeline, prior=_Unasked)
    except FusionkitError:
        return True
    return False
