"""CCF's objective: a step towards the strongest of eight conditions, balanced image by image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fusionkit import Run, StartedObjective, Step, image_mean, proximal_weights

from .conditions import Condition, Maps, conditions

KEPT = 3
"""How many conditions take part in a step."""

FLOOR = 1e-2
"""Slopes well below this, in units of a difference of values, count as met.

Adam moves a pixel by its full rate however small the slope. With CCF's 1e-8 the rounding of
float32 would be enough of a slope; with this, steps shrink as a condition is met.
The rate of a whole image shrinks likewise, where its kept slopes begin below this.
"""

PACE = 0.5
"""GradNorm's alpha: how strongly conditions that fall behind are preferred."""


class ConditionBank:
    """Adam on eight conditions, of which each image follows the three that pull hardest.

    With L_j(f) the loss of condition j (:mod:`.conditions`) and G_j = |∇L_j(f)|
    the size of its slope, for each image by itself,

        kept:   the three largest G_j,
        lambda_j = (G / G_j) (R_j / R)^alpha,    R_j = L_j(f) / L_j at the first step,
        E(f) = Σ_kept lambda_j L_j(f),

    with G and R the means over the kept ones: GradNorm's balance (Chen et al.,
    ICML 2018) in closed form. The choice and the lambda are made at the start of each
    sampling step, and E stays what it is during the step. E, in units of one
    pixel, and the proximal term rho_i/2 |f - x0|² are descended together from x0.

    CCF: Cao et al., NeurIPS 2024; its own arithmetic is in :mod:`.ccf_published`. It has two
    sources and no weights, and its edge term reads the visible image twice; here all sources
    count, by their weights. One Adam step begins where the proximal term has no slope, so that
    the strength (other than zero) matters from the second iteration on. With a strength of
    zero each sampling step goes on from the image of the one before, the first
    from the weighted mean.

    Parameters
    ----------
    strength
        lambda, see :func:`fusionkit.proximal_weights`.
    iterations, rate
        How many Adam steps per sampling step, and the size of the first; it falls to zero.
    """

    def __init__(self, strength: float = 0.0, iterations: int = 20, rate: float = 0.1) -> None:
        self.strength = strength
        self.iterations = iterations
        self.rate = rate
        self.uses_trajectory = strength > 0

    def start(self, run: Run) -> StartedObjective:
        """Begin a run; the first losses are noted at its first step."""
        return _StartedConditionBank(self, run)


class _StartedConditionBank:
    def __init__(self, objective: ConditionBank, run: Run) -> None:
        self.objective = objective
        self.run = run
        self.rho = proximal_weights(run, objective.strength)
        self._first: Tensor | None = None
        self._f: Tensor | None = None

    def initial(self, weights: Tensor) -> Tensor:
        """Return the weighted mean of the sources."""
        return (weights * self.run.sources).sum(0)

    def rectify(self, step: Step, weights: Tensor) -> Tensor:
        """Return the clean estimate, moved by some Adam steps."""
        rho = self.rho[step.index]
        if rho > 0:
            start = step.x0.detach()
        else:
            start = self.initial(weights) if self._f is None else self._f
        bank = conditions(self.run.sources, weights)
        balance, slope, pull = self._balanced(bank, start)
        # What is met already would otherwise be moved by rounding, amplified from step to step.
        rates = self.objective.rate * (pull / FLOOR).clamp(max=1).view(-1, 1, 1, 1)
        f, first, second = start, torch.zeros_like(start), torch.zeros_like(start)
        for n in range(1, self.objective.iterations + 1):
            if n > 1:
                at, losses = _losses(bank, f)
                slope = _slope(losses, balance.unbind(), at, again=False)
            total = slope + rho * (f - start)
            first = 0.9 * first + 0.1 * total
            second = 0.999 * second + 0.001 * total.square()
            scaled = (second / (1 - 0.999**n)).sqrt() + FLOOR
            rate = rates * (1 - (n - 1) / self.objective.iterations)
            f = f - rate * (first / (1 - 0.9**n)) / scaled
        self._f = f
        return f

    def _balanced(self, bank: tuple[Condition, ...], f: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the lambda (8, B), 0 for what is not kept; E's slope at f; and G, (B,)."""
        losses, slopes = losses_and_slopes(bank, f)
        if self._first is None:
            self._first = losses
        # Root mean square over pixels, so that the size of the image does not matter.
        size = image_mean(slopes.square(), (2, 3, 4)).sqrt()
        kept = size >= size.topk(KEPT, dim=0).values[-1]
        remaining = losses / (self._first + 1e-6)
        mean = torch.where(kept, size, 0.0).sum(0) / kept.sum(0)
        balance = torch.where(kept, _gradnorm(size, mean, remaining, kept), 0.0)
        return balance, (balance[..., None, None, None] * slopes).sum(0), mean


def losses_and_slopes(bank: tuple[Condition, ...], f: Tensor) -> tuple[Tensor, Tensor]:
    """Return L_j(f), (8, B), and their slopes in units of one pixel, (8, B, C, H, W)."""
    at, losses = _losses(bank, f)
    one = torch.ones_like(losses[0])
    slopes = [_slope([loss], [one], at, again=True) for loss in losses]
    return torch.stack(losses).detach(), torch.stack(slopes)


def _losses(bank: tuple[Condition, ...], f: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return f as what slopes are taken by, and the loss of every condition there, (B,)."""
    with torch.enable_grad():
        at = f.detach().requires_grad_(True)
        maps = Maps(at)
        return at, [condition(maps) for condition in bank]


def _slope(losses: Sequence[Tensor], by: Sequence[Tensor], at: Tensor, again: bool) -> Tensor:
    """Return the slope per image of Σ_j by_j L_j, in units of one pixel: times their number.

    ``again`` keeps what was noted of the losses, for another slope of some of them.
    """
    (slope,) = torch.autograd.grad(losses, at, by, retain_graph=again)
    return slope * at[0].numel()


def _gradnorm(size: Tensor, mean: Tensor, remaining: Tensor, kept: Tensor) -> Tensor:
    """Return the lambda of all conditions (8, B), from the means over the kept ones."""
    # A condition that was met at first and no longer is has no sensible pace of its own.
    remaining = remaining.clamp(0.1, 10)
    pace = remaining / (torch.where(kept, remaining, 0.0).sum(0) / kept.sum(0))
    return mean / (size + 1e-6) * pace**PACE
