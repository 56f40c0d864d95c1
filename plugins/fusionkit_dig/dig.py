"""Weights from diffusion information gains (Dig2DIG, arXiv 2503.18627)."""

from __future__ import annotations

from torch import Tensor

from fusionkit import Run, StartedWeighting, Step

from .activation import simplex_weights
from .losses import LOSSES, box_mean


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
        Side of the averaging window; 1 for none, 0 for the whole image.
    dynamic
        False: one weighting for all steps, from the gain summed over them. The
        sum telescopes to loss(ĉ_k(0), c_k), so it needs one level only.
    activation, scale
        ``power``: max(gain, 0)^scale; ``softmax``: exp(scale * gain); ``hard``:
        all to the largest gain (shared by ties). Then normalised over sources.
    stride
        S, in steps of the run.
    """

    uses_trajectory = False

    def __init__(
        self,
        loss: str = "l2",
        window: int = 11,
        dynamic: bool = True,
        activation: str = "power",
        scale: float = 4.0,
        stride: int = 1,
    ) -> None:
        self.loss = LOSSES[loss]
        self.window = window
        self.dynamic = dynamic
        self.activation = activation
        self.scale = scale
        self.stride = stride

    def start(self, run: Run) -> StartedWeighting:
        """Announce the levels whose source estimates will be needed."""
        return _StartedDig(self, run)

    def gains(self, run: Run, level: int, later: int) -> Tensor:
        """Return DIG_k from one level to a later, cleaner one: (K, B, 1, H, W)."""
        gain = self.loss(run.source_estimate(level), run.sources)
        if later < run.steps:  # at level N the estimate is the source, and its loss zero
            gain = gain - self.loss(run.source_estimate(later), run.sources)
        return box_mean(gain, self.window)

    def weights(self, gains: Tensor) -> Tensor:
        """Turn gains (K, ...) into weights that are >= 0 and sum to 1 over K."""
        return simplex_weights(gains, self.activation, self.scale)


class _StartedDig:
    def __init__(self, dig: Dig, run: Run) -> None:
        self.dig = dig
        self.run = run
        self._weights: Tensor | None = None
        self._renewed = -1
        run.announce(range(0, run.steps, dig.stride) if dig.dynamic else [0])

    def __call__(self, step: Step) -> Tensor:
        """Return the weights of this step, renewed every S steps."""
        due = step.index - step.index % self.dig.stride if self.dig.dynamic else 0
        if self._weights is None or due != self._renewed:
            later = (
                min(due + self.dig.stride, self.run.steps) if self.dig.dynamic else self.run.steps
            )
            self._weights = self.dig.weights(self.dig.gains(self.run, due, later))
            self._renewed = due
        return self._weights
