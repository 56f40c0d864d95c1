"""What the C library keeps of memory that is free."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache


def give_back_memory() -> None:
    """Have the C library give free memory back to the system, where it can be told to (glibc).

    Pieces that were freed between pieces in use stay with the process otherwise: after some patches
    of different sizes, hundreds of megabytes.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@lru_cache(maxsize=1)
def _trim() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, TypeError, AttributeError):  # no glibc; on Windows, no library of that name
        return None
    return trim
