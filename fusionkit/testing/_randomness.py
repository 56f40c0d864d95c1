"""Global states, of which components must neither read nor write those that are random."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed every global generator for a while, and put them back as they were."""
    # RUF/NPY: the legacy state is the very thing that is guarded against.
    python, numpy, pytorch = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.default_generator.manual_seed(seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(pytorch)


def torch_state() -> torch.Tensor:
    """Return a copy of torch's global state."""
    return torch.get_rng_state().clone()


def shared_state() -> dict[str, Any]:
    """Return what there is once in a process, and all threads share."""
    return {
        "torch's default type": torch.get_default_dtype(),
        "torch's random state": torch_state().tolist(),
        "numpy's random state": repr(np.random.get_state()),  # noqa: NPY002
        "Python's random state": random.getstate(),
        "the working folder": os.getcwd(),
    }
