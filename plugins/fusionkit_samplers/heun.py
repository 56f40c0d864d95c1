"""Heun's second-order steps (Karras et al., EDM, arXiv 2206.00364, algorithm 1)."""

from __future__ import annotations

from collections.abc import Iterator

from fusionkit import Guide, Run, SampledStep


class Heun:
    """Deterministic sampling of dx / dsigma = (x - f) / sigma, f the corrected estimate.

    Every step but the last estimates twice: at its own level, and at the next for
    the slope there, which components are told is provisional.
    """

    trajectory = True

    def sample(self, run: Run, guide: Guide) -> Iterator[SampledStep]:
        """Yield every step."""
        x = guide.start()
        for i in range(run.steps):
            done = guide(i, x, run.clean_estimate(x, i))
            slope = (x - done.corrected) / run.sigma[i]
            yield done
            del done
            if i + 1 == run.steps:
                return
            h = run.sigma[i + 1] - run.sigma[i]
            euler = x + h * slope
            ahead = guide(i + 1, euler, run.clean_estimate(euler, i + 1), provisional=True)
            x = x + h / 2 * (slope + (euler - ahead.corrected) / run.sigma[i + 1])
