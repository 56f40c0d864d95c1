"""How many processes share some work, and where they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .pool import Pool, cores
from .ray_pool import RayPool


@dataclass(frozen=True)
class Processes:
    """The processes that share some work.

    Attributes
    ----------
    jobs
        How many; None for this one alone, or on Ray for as many as its cluster has cores for.
    threads
        Of the CPU, that each computes with; None for its share of this machine's cores, or on
        Ray for one.
    ray
        The address of a Ray cluster, ``auto`` or ``local``; None for processes of this machine.
    gpus
        Of each, on Ray; shares of one, too.
    """

    jobs: int | None = None
    threads: int | None = None
    ray: str | None = None
    gpus: float = 0.0

    @property
    def others(self) -> bool:
        """Whether the work is done in other processes than this."""
        return self.ray is not None or self.jobs is not None

    def worth(self, tasks: int) -> bool:
        """Whether other processes make so many tasks faster: more of them than one, or others'."""
        return self.ray is not None or min(self.jobs or 1, tasks) > 1

    @property
    def threads_each(self) -> int:
        """How many threads each of the other processes computes with."""
        if self.threads is not None:
            return self.threads
        return 1 if self.ray is not None else max(1, cores() // (self.jobs or 1))

    def pool(self, start: Callable[..., None], arguments: tuple[Any, ...]) -> Pool | RayPool:
        """Return the pool of processes that call ``start(*arguments)`` first."""
        if self.ray is not None:
            said = (self.threads_each, self.gpus, self.ray)
            return RayPool(self.jobs, start, arguments, *said)
        return Pool(self.jobs or 1, start, arguments, self.threads_each)
