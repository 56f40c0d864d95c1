"""DIG on the fused trajectory: what the fused image gains of each source, or still lacks."""

from __future__ import annotations

from torch import Tensor

from fusionkit import Run, StartedWeighting, Step, box_mean

from .activation import simplex_weights
from .losses import LOSSES


class DigResidual:
    """Weigh each source by what the fused image, not the noised source, has to do with it.

    The bound that Dig2DIG (arXiv 2503.18627) argues from asks for weights that go with
    what a source still has to give to the *fused* image; its gains are those of the
    source noised alone. Here x̂0 is the clean estimate of the fused trajectory at step i, before
    correction, f(i - S) the corrected one when the weights were renewed last, and

        gain:      G_k(i) = loss(f(i - S), c_k) - loss(x̂0(i), c_k),
        residual:  G_k(i) = loss(x̂0(i), c_k),

    averaged over a window and turned into weights as DIG is.

    Before the first step there is no f, and gains are counted from the plain mean of the
    sources: it is what the provisional call shows as x̂0, whose gains are then zero and
    whose weights equal, and equal weights start a run from that very mean (with
    ``mse``; with ``increments``, from the mean of their estimates).

    It costs no evaluation of its own, but needs the fused trajectory.

    Parameters
    ----------
    mode
        ``residual`` or ``gain``.
    loss, window, activation, scale
        As for :class:`~fusionkit_dig.dig.Dig`.
    stride
        S: the weights are renewed every S steps.
    """

    uses_trajectory = True

    def __init__(
        self,
        mode: str = "residual",
        loss: str = "gradient",
        window: int = 11,
        activation: str = "power",
        scale: float = 4.0,
        stride: int = 1,
    ) -> None:
        self.mode = mode
        self.weighs_by = "residual" if mode == "residual" else None
        self.loss = LOSSES[loss]
        self.window = window
        self.activation = activation
        self.scale = scale
        self.stride = stride

    def start(self, run: Run) -> StartedWeighting:
        """Begin a run; nothing is needed of the sources' estimates."""
        return _StartedDigResidual(self)

    def gains(self, step: Step, reference: Tensor | None) -> Tensor:
        """Return G_k at a step, (K, B, 1, H, W).

        ``reference`` is what ``gain`` counts from, (B, C, H, W); without it, the mean
        of the sources.
        """
        lacking = self._residual(step.x0, step.run.sources)
        if self.mode == "residual":
            return lacking
        known = step.run.sources.mean(0) if reference is None else reference
        return self._residual(known, step.run.sources) - lacking

    def weights(self, gains: Tensor) -> Tensor:
        """Turn gains (K, ...) into weights that are >= 0 and sum to 1 over K."""
        return simplex_weights(gains, self.activation, self.scale)

    def _residual(self, estimate: Tensor, sources: Tensor) -> Tensor:
        return box_mean(self.loss(estimate.expand_as(sources), sources), self.window)


class _StartedDigResidual:
    def __init__(self, weighting: DigResidual) -> None:
        self.weighting = weighting
        self._weights: Tensor | None = None
        self._reference: Tensor | None = None

    def __call__(self, step: Step) -> Tensor:
        """Return the weights of this step, renewed every S steps."""
        weighting = self.weighting
        if step.provisional:
            return weighting.weights(weighting.gains(step, None))
        # The step after a renewal is the first to see what that step was corrected to.
        if step.index > 0 and (step.index - 1) % weighting.stride == 0:
            self._reference = step.previous
        if self._weights is None or step.index % weighting.stride == 0:
            self._weights = weighting.weights(weighting.gains(step, self._reference))
        return self._weights
