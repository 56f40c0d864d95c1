"""A process that fuses for days does not grow."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

import fusionkit

STATUS = Path("/proc/self/statm")


def resident() -> float:
    """Return the megabytes that this process has in memory."""
    return int(STATUS.read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux how large it is")
@pytest.mark.filterwarnings("ignore::fusionkit.FusionkitWarning")
def test_hundreds_of_fusions_leave_nothing_behind() -> None:
    generator = np.random.default_rng(0)
    pipeline = fusionkit.compose(task="infrared-visible", estimator="gaussian", device="cpu")

    def fuse(times: int) -> None:
        for _ in range(times):
            pair = [generator.integers(0, 255, (64, 72), np.uint8) for _ in range(2)]
            fusionkit.fuse(pair, pipeline=pipeline)

    fuse(20)
    before = resident()
    fuse(200)
    assert resident() - before < 5
