"""How fast this machine convolves, and so in which precision to train."""

from __future__ import annotations

import time

import torch
from torch.nn.functional import conv2d

from fusionkit.errors import UsageError

PRECISIONS = ("auto", "float32", "bfloat16")


def convolution_rate(dtype: torch.dtype, device: str = "cpu", repeats: int = 3) -> float:
    """Return TFLOP/s of a typical convolution of the compact network, forward and backward."""
    layout = torch.channels_last
    x = torch.ones(32, 64, 32, 32, dtype=dtype, device=device).contiguous(memory_format=layout)
    weight = torch.ones(64, 64, 3, 3, dtype=dtype, device=device).contiguous(memory_format=layout)
    x.requires_grad_()
    weight.requires_grad_()
    best = float("inf")
    for _ in range(repeats + 1):  # the first one also compiles
        start = time.perf_counter()
        result = conv2d(x, weight, padding=1)
        torch.autograd.grad(result, [x, weight], result)
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 3 * 2 * 9 * 64 * 64 * x[:, 0].numel() / best / 1e12


def choose_precision(wanted: str, device: str = "cpu") -> tuple[torch.dtype | None, float]:
    """Return the dtype for autocast, None for float32, and the rate of convolutions in it.

    bfloat16 is emulated, slower than float32 by far, on processors without
    instructions for it; so ``auto`` measures (about a second) rather than asks.
    """
    if wanted not in PRECISIONS:
        raise UsageError(f"--precision {wanted}: there are {', '.join(PRECISIONS)}")
    single = convolution_rate(torch.float32, device) if wanted != "bfloat16" else 0.0
    half = convolution_rate(torch.bfloat16, device) if wanted != "float32" else 0.0
    # Half precision rounds; it has to be worth it.
    return (torch.bfloat16, half) if half > 1.2 * single else (None, single)
