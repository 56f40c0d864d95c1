"""CCF's objective as its code computes it: one Adam step a sampling step, weights by GradNorm."""

from __future__ import annotations

import torch
from torch import Tensor

from fusionkit import Run, StartedObjective, Step, image_mean
from fusionkit.ops import sent

from .condition_bank import KEPT, losses_and_slopes
from .conditions import NAMES, conditions

ALPHA = 1.5
"""GradNorm's alpha, as released: how strongly conditions that fall behind are preferred."""

FIDELITY = NAMES.index("mse")
"""The condition that takes part in every step, once for each one that is chosen."""

SCALES = (1.0, 2.0, 2.0, 8.0, 8 / 3, 1.0, 8.0, 1.0)
"""Released losses in units of ours, in the order of ``NAMES``: without halves; of the bands of an
orthonormal transform, the high ones averaged; EI of Sobel's sum. Edges are of another kernel."""

TINY = 1e-6
"""Of a loss; far below what counts."""


class CcfPublished:
    """One step of Adam on a copy of the clean estimate, towards three of eight conditions.

    With L_j the conditions (:mod:`.conditions`, without marks), v_j their weights, which begin
    at 1, and G_j = |∇L_j|, the norm of the whole slope,

        kept:  the three largest v_j,
        f    = x0 - rate Adam(Σ_kept v_j ∇L_j + 3 ∇L_mse),
        v_j <- v_j - G_j / 8 sign(v_j G_j - mean(v G) r_j^1.5),   then scaled to sum to 8,
        r_j  = R_j / mean(R),    R_j = L_j / L_j at the first step:

    a descent of GradNorm (Chen et al., ICML 2018) of rate 1. The moments of Adam and the v_j
    are carried from one sampling step to the next.

    CCF: Cao et al., NeurIPS 2024, after its released code, of which infrared-visible is the only
    task. Ours: K weighted sources, all of which count for the edges (CCF reads the
    visible image twice); undecimated Haar bands; SSIM as 1 - SSIM, so that R_j is never negative.

    Parameters
    ----------
    rate
        Of Adam; CCF has 0.03, for values in [-1, 1].
    """

    uses_trajectory = True

    def __init__(self, rate: float = 0.03) -> None:
        self.rate = rate

    def start(self, run: Run) -> StartedObjective:
        """Begin a run with equal weights and no momentum."""
        return _StartedCcf(self.rate, run)


class _StartedCcf:
    def __init__(self, rate: float, run: Run) -> None:
        self.rate = rate
        self.run = run
        self.shares = run.sources.new_ones(len(NAMES), run.sources.shape[1])
        scales = torch.tensor(SCALES, dtype=run.sources.dtype, device="cpu")
        self.scales = sent(scales, run.sources.device, scales.dtype).view(-1, 1, 1, 1, 1)
        self.first = torch.zeros_like(run.sources[0])
        self.second = torch.zeros_like(self.first)
        self._at_first: Tensor | None = None

    def initial(self, weights: Tensor) -> Tensor:
        """Return the weighted mean of the sources."""
        return (weights * self.run.sources).sum(0)

    def rectify(self, step: Step, weights: Tensor) -> Tensor:
        """Return the clean estimate after one step of Adam."""
        bank = conditions(self.run.sources, weights, marks=False)
        losses, slopes = losses_and_slopes(bank, step.x0)
        slopes = slopes * self.scales
        kept = self.shares >= self.shares.topk(KEPT, dim=0).values[-1]
        factors = torch.where(kept, self.shares, 0.0)
        factors[FIDELITY] += KEPT
        moved = self._adam((factors[..., None, None, None] * slopes).sum(0), step.index + 1)
        self._renew(losses, slopes)
        return step.x0 - self.rate * moved

    def _adam(self, slope: Tensor, n: int) -> Tensor:
        """Return the n-th step of Adam, of rate 1 (Kingma and Ba, arXiv 1412.6980)."""
        self.first = 0.9 * self.first + 0.1 * slope
        self.second = 0.999 * self.second + 0.001 * slope.square()
        scale = (self.second / (1 - 0.999**n)).sqrt() + 1e-8
        return self.first / (1 - 0.9**n) / scale

    def _renew(self, losses: Tensor, slopes: Tensor) -> None:
        """Let the weights descend GradNorm's loss by one step."""
        if self._at_first is None:
            self._at_first = losses
        size = (image_mean(slopes.square(), (2, 3, 4)) / slopes[0, 0].numel()).sqrt()
        # No loss changes its sign; one that is met from the start stays where it was.
        remaining = (losses.abs() + TINY) / (self._at_first.abs() + TINY)
        pace = remaining / remaining.mean(0)
        pulls = self.shares * size
        off = pulls - pulls.mean(0) * pace**ALPHA
        shares = self.shares - size / len(NAMES) * off.sign()
        self.shares = shares / shares.sum(0) * len(NAMES)
