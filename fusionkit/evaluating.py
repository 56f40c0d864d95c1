"""The one place where a noise estimator is evaluated: padded, in parts, checked and counted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .checks import Checks, blame, check_shape
from .mirror import mirrored_index
from .protocols import NoiseEstimator
from .schedule import Schedule

PIXELS_PER_PASS = 2**20
"""How many pixels go through an estimator at once that does not say: at least one image does."""


class Evaluator:
    """What the runs of one batch share, at whatever size: the estimator, and what it has cost.

    Parameters
    ----------
    estimator, name
        The noise estimator, and what messages call it.
    checks
        Where the flags of what it returns are gathered.

    Attributes
    ----------
    pixels
        H W of every image evaluated so far, padding not included, summed.
    """

    def __init__(self, estimator: NoiseEstimator, name: str, checks: Checks) -> None:
        self.checks = checks
        self.pixels = 0
        self._estimator = estimator
        self._name = name
        self._padding: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def clean(self, x: Tensor, schedule: Schedule, levels: Sequence[int]) -> Tensor:
        """Return the clean estimates of (M, C, h, w), of any size, image m at ``levels[m]``."""
        height, width = x.shape[-2:]
        self.pixels += len(x) * height * width
        rows, columns = self._padded(height, width, x.device)
        most = getattr(self._estimator, "pixels_per_pass", PIXELS_PER_PASS)
        size = max(1, most // (len(rows) * len(columns)))
        parts = [
            self._one_pass(x[n : n + size], schedule, levels[n : n + size])
            for n in range(0, len(x), size)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _one_pass(self, x: Tensor, schedule: Schedule, levels: Sequence[int]) -> Tensor:
        height, width = x.shape[-2:]
        t = torch.tensor([schedule.timesteps[i] for i in levels], device=x.device)
        rows, columns = self._padded(height, width, x.device)
        padded = x
        if (len(rows), len(columns)) != (height, width):
            padded = x[..., rows, :][..., columns]
        sigmas = " ".join(f"{schedule.sigma[i]:.4g}" for i in sorted(set(levels)))
        where = f"at noise level {sigmas}"
        with torch.no_grad(), blame(self._name, where):
            eps = self._estimator(padded, t)
        check_shape(eps, padded.shape, self._name, "noise", where)
        self.checks.finite(eps, f"{self._name} returned noise that is not finite {where}")
        eps = eps[..., :height, :width].to(x.dtype)
        if len(set(levels)) == 1:
            return (x - schedule.s[levels[0]] * eps) / schedule.a[levels[0]]
        shape = (len(levels), 1, 1, 1)
        a, s = (
            torch.tensor([of[i] for i in levels], device=x.device, dtype=x.dtype).view(shape)
            for of in (schedule.a, schedule.s)
        )
        return (x - s * eps) / a

    def _padded(self, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the rows and columns that pad a size, mirrored; made once for each size."""
        size = height, width
        if size not in self._padding:
            multiple = self._estimator.multiple_of
            rows, columns = (
                mirrored_index(0, -(-side // multiple) * multiple, side, device) for side in size
            )
            self._padding[size] = rows, columns
        return self._padding[size]
