"""In which precision this machine trains faster."""

from __future__ import annotations

import torch

from fusionkit.errors import UsageError
from fusionkit.host.hardware import convolution_rate

PRECISIONS = ("auto", "float32", "bfloat16")


def choose_precision(wanted: str, device: str = "cpu") -> tuple[torch.dtype | None, float]:
    """Return the dtype for autocast, None for float32, and the TFLOP/s of convolutions in it.

    bfloat16 is emulated, slower than float32 by far, on processors without
    instructions for it; so ``auto`` measures (about a second) rather than asks.
    """
    if wanted not in PRECISIONS:
        raise UsageError(f"--precision {wanted}: there are {', '.join(PRECISIONS)}")
    single = _rate(torch.float32, device) if wanted != "bfloat16" else 0.0
    half = _rate(torch.bfloat16, device) if wanted != "float32" else 0.0
    # Half precision rounds; it has to be worth it.
    return (torch.bfloat16, half) if half > 1.2 * single else (None, single)


def _rate(dtype: torch.dtype, device: str) -> float:
    # About the widest level of the network, and the pixels of a batch.
    return convolution_rate(dtype, device, channels=64, side=192)
