"""Weights from diffusion information gains (Dig2DIG, arXiv 2503.18627)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from fusionkit import (
    NoiseEstimator,
    Run,
    StartedWeighting,
    Step,
    box_mean,
    consistent_weights,
)

from .activation import simplex_weights
from .losses import LOSSES
from .resolution import enlarged, fitting_factor, scaled_window

AUTO_FACTOR = 2
"""By how much sources are shrunk where nobody else needs their estimates: a quarter of the cost."""


class Prior(NamedTuple):
    """Another prior than the run's, and what messages call it."""

    estimator: NoiseEstimator
    label: str


class Dig:
    """Weigh each source by the information that denoising recovers of it at this step.

    With c_k the source and ĉ_k(i) its clean estimate from level i,

        DIG_k(i) = loss(ĉ_k(i), c_k) - loss(ĉ_k(i + S), c_k),

    averaged over a window; the weights are its softmax over the sources, or, by
    default, its power: softmax of raw gains is nearly uniform, since gains are
    small numbers. A negative gain (possible where the estimate is not an exact
    posterior mean, or for a single noise field) counts as none under ``power``.

    It depends on the sources and the prior alone, never on the fused image.

    Parameters
    ----------
    loss
        ``l2``, ``l1``, ``gradient`` or ``ssim``.
    window
        Side of the averaging window, in pixels of the sources; 1 for none, 0 for the whole image.
    dynamic
        False: one weighting for all steps, from the gain summed over them. The
        sum telescopes to loss(ĉ_k(0), c_k), so it needs one level only.
    activation, scale
        ``power``: max(gain, 0)^scale; ``softmax``: exp(scale * gain); ``hard``:
        all to the largest gain (shared by ties). Then normalised over sources.
    consistency
        Side of the window in which neighbours are made to agree on a source
        (:func:`fusionkit.consistent_weights`), in pixels of the sources; 1 for none.
    stride
        S, in steps of the run.
    resolution
        The factor by which sources are shrunk before they are noised and estimated; weights
        are computed at that size, and enlarged. 0: full size where the objective has
        announced these estimates anyway, :data:`AUTO_FACTOR` elsewhere.
    prior
        Whose gains they are, if not the run's own: sources are clean more often than not, and
        a prior in closed form then tells them apart as well as a network, at its own cost alone.
    """

    uses_trajectory = False

    def __init__(
        self,
        loss: str = "gradient",
        window: int = 11,
        dynamic: bool = True,
        activation: str = "power",
        scale: float = 16.0,
        stride: int = 2,
        resolution: int = 0,
        consistency: int = 1,
        prior: Prior | None = None,
    ) -> None:
        self.loss = LOSSES[loss]
        self.window = window
        self.dynamic = dynamic
        self.activation = activation
        self.scale = scale
        self.stride = stride
        self.resolution = resolution
        self.consistency = consistency
        self.prior = prior

    @property
    def levels(self) -> str:
        """The first alone, if weights are not renewed."""
        return "all" if self.dynamic else "first"

    @property
    def stand_ins(self) -> Mapping[str, NoiseEstimator]:
        """The other prior, by its option."""
        return {} if self.prior is None else {"prior": self.prior.estimator}

    @property
    def weighs_by(self) -> str | None:
        """What a trace measures that these weights are made from, so that it can say so."""
        plain = self.loss is LOSSES["l2"] and self.dynamic and self.stride == 1
        own = self.prior is None and self.resolution in (0, 1)
        return "gain" if plain and own else None

    def start(self, run: Run) -> StartedWeighting:
        """Announce the levels whose source estimates will be needed."""
        return _StartedDig(self, run)

    def renewals(self, run: Run) -> list[int]:
        """Return the steps at which the weights are renewed, and N after them."""
        steps = range(0, run.steps, self.stride) if self.dynamic else range(1)
        return [*steps, run.steps]

    def factor(self, run: Run) -> int:
        """Return by how much the sources of this run are shrunk."""
        factor = self.resolution
        if factor == 0:
            needed = self.renewals(run)[:-1]
            given = self.prior is None and run.announced.issuperset(needed)
            factor = 1 if given else AUTO_FACTOR
        return fitting_factor(factor, *run.sources.shape[-2:])

    def weights(self, gains: Tensor) -> Tensor:
        """Turn gains (K, ...) into weights that are >= 0 and sum to 1 over K."""
        return simplex_weights(gains, self.activation, self.scale)


class _StartedDig:
    def __init__(self, dig: Dig, run: Run) -> None:
        self.dig = dig
        self.size = run.sources.shape[-2:]
        self.factor = dig.factor(run)
        asked = run if dig.prior is None else run.with_prior(*dig.prior)
        self.run = asked if self.factor == 1 else asked.reduced(self.factor)
        self.window, self.consistency = (
            scaled_window(side, self.factor) for side in (dig.window, dig.consistency)
        )
        self.run.announce(dig.renewals(run), singly=True)
        self._weights: Tensor | None = None
        self._renewed = -1
        self._after: tuple[int, Tensor] | None = None

    def __call__(self, step: Step) -> Tensor:
        """Return the weights of this step, renewed every S steps."""
        stride = self.dig.stride if self.dig.dynamic else self.run.steps
        due = step.index - step.index % stride
        if self._weights is None or due != self._renewed:
            gains = self.gains(due, min(due + stride, self.run.steps))
            weights = consistent_weights(self.dig.weights(gains), self.consistency)
            self._weights = enlarged(weights, self.factor, *self.size)
            self._renewed = due
        return self._weights

    def gains(self, level: int, later: int) -> Tensor:
        """Return DIG_k from one level to a later, cleaner one, (K, B, 1, h, w)."""
        gain = self.loss(level)
        if later < self.run.steps:  # at level N the estimate is the source, and its loss zero
            gain = gain - self.loss(later)
        means = torch.empty_like(gain)
        for mean, of_source in zip(means.unbind(), gain.unbind(), strict=True):
            mean.copy_(box_mean(of_source, self.window))
        return means

    def loss(self, level: int) -> Tensor:
        """Return how far every source's estimate is from the source, (K, B, 1, h, w)."""
        # What one step gains up to is what the next one gains from: no need to measure it twice.
        if self._after is None or self._after[0] != level:
            # One source after another: of its estimate only the loss is kept.
            losses = self.run.sources.new_empty(self.run.sources[:, :, :1].shape)
            for k, source in enumerate(self.run.sources.unbind()):
                losses[k] = self.dig.loss(self.run.source_estimate(level, k), source)
            self._after = level, losses
        return self._after[1]
