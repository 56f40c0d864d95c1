"""Random numbers from one seed."""

from __future__ import annotations

import torch
from torch import Tensor

from ..state import generator_for


class Draw:
    """Random numbers from one seed."""

    def __init__(self, *key: object) -> None:
        self.generator = generator_for(*key)

    def tensor(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return uniform numbers of this shape."""
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers of this shape."""
        return torch.randn(shape, generator=self.generator)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return one number."""
        return float(self.tensor(1, low=low, high=high))

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``, both included."""
        return int(torch.randint(low, high + 1, (1,), generator=self.generator))

    def chance(self, share: float) -> bool:
        """Return True with this probability."""
        return self.uniform() < share
