"""Seconds and memory of what is timed on a device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from fusionkit.host.hardware import synchronize

REPEATS, ENOUGH = 3, 2.0
"""Times that something is timed, after one that is not; fewer where they take longer together."""


def timed(work: Callable[[], object], device: str) -> float:
    """Return the median seconds of a few times."""
    times: list[float] = []
    while len(times) < REPEATS and sum(times) < ENOUGH:
        synchronize(device)
        began = time.perf_counter()
        work()
        synchronize(device)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def reset_peak(device: str) -> None:
    """Forget what torch held on the device before."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)


def peak(device: str) -> int | None:
    """Return the most MiB that torch held on the device since then; None on a CPU."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) // 2**20
    return None
