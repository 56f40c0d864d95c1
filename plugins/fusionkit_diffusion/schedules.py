"""Noise schedules that pretrained models share."""

from __future__ import annotations

import torch
from torch import Tensor


def linear_alpha_bar(total: int = 1000) -> Tensor:
    """Return alpha_bar (T,) of the linear-beta schedule of DDPM (arXiv 2006.11239).

    beta runs from 1e-4 to 0.02 over T = 1000 steps; for other T it is scaled
    by 1000 / T, so that the last level is as noisy.
    """
    scale = 1000 / total
    beta = torch.linspace(scale * 1e-4, scale * 0.02, total, dtype=torch.float64)
    return torch.cumprod(1 - beta, 0)
