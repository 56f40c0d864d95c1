"""Continuing an image mirrored past its border, the edge pixel repeated."""

from __future__ import annotations

import torch
from torch import Tensor


def mirrored_index(first: int, last: int, size: int, device: torch.device) -> Tensor:
    """Return where positions first ... last - 1 of a mirrored axis of ``size`` pixels come from.

    The axis is mirrored as often as it takes: any distance past the border will do.

    Examples
    --------
    >>> mirrored_index(-2, 5, 3, torch.device("cpu")).tolist()
    [1, 0, 0, 1, 2, 2, 1]
    """
    index = torch.arange(first, last, device=device) % (2 * size)
    return torch.minimum(index, 2 * size - 1 - index)
