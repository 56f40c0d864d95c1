"""What the C library keeps of memory that is free."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def give_back_memory() -> None:
    """Have the C library give free memory back to the system, where it can be told to (glibc).

    Pieces that were freed between pieces in use stay with the process otherwise: after some patches
    of different sizes, hundreds of megabytes.
    """
    # Other C libraries have none; on Windows there is no library of that name.
    with suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
