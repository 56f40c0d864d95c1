"""Memory that is free: how soon a process looks for it, and when the system has it back."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import sys
from contextlib import suppress

_COLLECTED_AT = 10_000
"""New objects after which garbage is looked for, instead of Python's 700. Not many more: garbage
may hold images."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_ of them, in malloc.h
_MOST_MAPPED = 32 * 2**20  # bytes; the most that glibc takes
_MOST_KEPT = 64 * 2**20


def spare_collecting() -> None:
    """Look for garbage in cycles rarely, and not once more at the end of the process.

    Importing torch makes a million objects, all of which stay: looking through them again and
    again, and when all is done, takes longer than a small fusion.
    """
    gc.set_threshold(_COLLECTED_AT)
    atexit.register(gc.freeze)


def keep_freed_memory() -> None:
    """Let glibc hand out freed memory again, instead of giving it back to the system each time.

    The maps of a network are some megabytes. Pages for each would be asked for anew, and cleared:
    a tenth of the time of a small image. Up to 64 MB are kept.
    """
    chosen = {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"}
    if sys.platform == "linux" and not chosen & os.environ.keys():
        _ask("mallopt", (_MMAP_THRESHOLD, _MOST_MAPPED), (_TRIM_THRESHOLD, _MOST_KEPT))


def give_back_memory() -> None:
    """Have the C library give free memory back to the system, where it can be told to (glibc).

    Pieces that were freed between pieces in use stay with the process otherwise: after some patches
    of different sizes, hundreds of megabytes.
    """
    _ask("malloc_trim", (0,))


def _ask(function: str, *calls: tuple[int, ...]) -> None:
    """Call a function of the C library, if it has that one."""
    # Other C libraries have none of these; on Windows there is no library of that name.
    with suppress(OSError, TypeError, AttributeError):
        asked = getattr(ctypes.CDLL(None), function)
        for numbers in calls:
            asked(*numbers)
