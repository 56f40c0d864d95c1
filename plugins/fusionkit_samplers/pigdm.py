"""Posterior sampling with the prior's gradient (Song et al., PiGDM, ICLR 2023)."""

from __future__ import annotations

from collections.abc import Iterator

from fusionkit import Guide, Run, SampledStep

from .ddim import ddim_step


class PiGDM:
    """Pseudoinverse guidance: the correction f - x0 is carried to x by the prior's Jacobian J.

    With r² = sigma² / (1 + sigma²), the variance of x0 given x that the paper takes for images
    of unit variance, E[x0 | x, sources] = x0 + (sigma² / r²) J^T (f - x0): f is already the
    estimate that the sources' likelihood asks for. DDIM then goes towards it.

    Parameters
    ----------
    eta
        As of ``ddim``.
    rate
        A factor of the correction; 1 is the published one.
    """

    trajectory = True
    needs_gradient = True

    def __init__(self, eta: float = 0.0, rate: float = 1.0) -> None:
        self.eta = eta
        self.rate = rate

    def sample(self, run: Run, guide: Guide) -> Iterator[SampledStep]:
        """Yield every step; the gradient of each but the last counts as an evaluation."""
        x = guide.start()
        for i in range(run.steps):
            x0 = run.clean_estimate(x, i)
            done = guide(i, x, x0)
            correction = done.corrected - x0
            yield done
            del done
            if i + 1 < run.steps:
                through = run.gradient(x, i, correction)
                towards = x0.add(through, alpha=self.rate * (1 + run.sigma[i] ** 2))
                x = ddim_step(run, i, x, towards, self.eta)
