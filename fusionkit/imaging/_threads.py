"""Parts of an image on several threads: numpy lets go of the interpreter while it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")


def on_threads(work: Callable[[Part], None], parts: Iterable[Part], threads: int) -> None:
    """Do ``work`` for each part, each of which must have its own place to store into.

    So nothing depends on the number of threads but the time.
    """
    parts = list(parts)
    if min(threads, len(parts)) < 2:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, parts):
            pass  # which raises what a part raised
