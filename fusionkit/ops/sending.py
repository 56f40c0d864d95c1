"""Sending what the host has made to a device, without waiting for what that is doing."""

from __future__ import annotations

import torch
from torch import Tensor


def sent(values: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return values of the CPU, which nobody changes any more, on a device.

    From pinned memory, CUDA copies in its own time, in order with all else that it is given;
    from other memory, the host waits until everything before is done.

    Examples
    --------
    >>> sent(torch.ones(2), torch.device("cpu"), torch.float64).dtype
    torch.float64
    """
    if device.type == "cuda":
        return values.to(dtype).pin_memory().to(device, non_blocking=True)
    return values.to(device, dtype)
