"""DDIM (Song et al., arXiv 2010.02502), towards the corrected clean estimate."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from fusionkit import Guide, Run, SampledStep


class DDIM:
    """Equation 12 of the paper, in x = x0 + sigma n.

    With n = (x - f) / sigma_i, f the corrected estimate,

        x_{i+1} = f + sqrt(sigma_{i+1}² - d²) n + d z,
        d = eta (sigma_{i+1} / sigma_i) sqrt(sigma_i² - sigma_{i+1}²).

    Parameters
    ----------
    eta
        0 is deterministic, 1 the ancestral sampler of DDPM.
    noise_of
        Which estimate x is compared with: ``corrected``, as above; or ``uncorrected``, n =
        (x - x0) / sigma_i with the prior's own x0. A correction then moves the next x by all of
        itself; with the noise of the corrected estimate, by 1 - sigma_{i+1} / sigma_i of it.
    """

    trajectory = True

    def __init__(self, eta: float = 0.0, noise_of: str = "corrected") -> None:
        self.eta = eta
        self.compares_uncorrected = noise_of == "uncorrected"

    def sample(self, run: Run, guide: Guide) -> Iterator[SampledStep]:
        """Yield every step."""
        x = guide.start()
        for i in range(run.steps):
            x0 = run.clean_estimate(x, i)
            done = guide(i, x, x0)
            f = done.corrected
            yield done
            # Nothing of a step is kept during the next, which is when memory is needed.
            del done
            if i + 1 < run.steps:
                if self.compares_uncorrected:
                    x = x + (f - x0)  # holds the noise of x beside x0, now beside f
                del x0
                x = ddim_step(run, i, x, f, self.eta)


def ddim_step(run: Run, i: int, x: Tensor, f: Tensor, eta: float) -> Tensor:
    """Go from level i to i + 1, given the clean estimate to go towards."""
    sigma, after = run.sigma[i], run.sigma[i + 1]
    fresh = eta * (after / sigma) * math.sqrt(sigma**2 - after**2)
    kept = math.sqrt(max(0.0, after**2 - fresh**2)) / sigma
    moved = torch.lerp(f, x, kept)
    if fresh > 0:
        moved.add_(run.noise("fusionkit/ddim", i), alpha=fresh)
    return moved
