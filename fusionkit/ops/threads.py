"""Work side by side on threads: numpy and PyTorch let go of the interpreter while they compute."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import TypeVar

import torch

Part = TypeVar("Part")
Done = TypeVar("Done")


@dataclass(frozen=True)
class _Lent:
    pool: ThreadPoolExecutor
    count: int


_lent: ContextVar[_Lent | None] = ContextVar("lent", default=None)
_helping: ContextVar[bool] = ContextVar("helping", default=False)


@contextmanager
def one_thread() -> Iterator[None]:
    """Have PyTorch compute on one thread: with more, it takes sums in another order.

    They may be rounded elsewhere then. So results do not depend on how many processes share a
    machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def lent_threads(count: int) -> Iterator[None]:
    """Lend so many threads to :func:`side_by_side`; in each, and in this, PyTorch has one."""
    if count < 2:
        with one_thread():
            yield
        return
    with one_thread(), ThreadPoolExecutor(count, "fusionkit", torch.set_num_threads, (1,)) as pool:
        token = _lent.set(_Lent(pool, count))
        try:
            yield
        finally:
            _lent.reset(token)


def side_by_side(work: Callable[[Part], Done], parts: Iterable[Part]) -> list[Done]:
    """Do ``work`` for each part, on the threads that the host lends to whoever calls.

    It lends them to metrics, where more cores than one may be used. Without, the parts are done in
    turn. A part may have parts of its own: the threads stay as many.

    Parameters
    ----------
    work
        What it returns may not depend on when, or beside what, a part is done.
    parts
        What it is given.

    Returns
    -------
    list
        What came of each part, in their order; of several exceptions, that of the first is raised.
    """
    waiting = deque(enumerate(parts))
    lent = _lent.get()
    if lent is None or len(waiting) < 2:
        return [work(part) for _, part in waiting]
    done: dict[int, Done] = {}
    failed: dict[int, BaseException] = {}

    def help_out() -> None:
        _helping.set(True)
        while waiting:
            try:
                place, part = waiting.popleft()
            except IndexError:  # another thread was quicker
                return
            try:
                done[place] = work(part)
            except BaseException as error:
                failed[place] = error
                waiting.clear()  # all before it have begun

    helpers = [
        lent.pool.submit(copy_context().run, help_out) for _ in range(min(lent.count, len(waiting)))
    ]
    try:
        if _helping.get():
            # One of the threads itself, it works, too, and waits for nobody who has not begun:
            # the threads may all be busy like this.
            help_out()
            helpers = [helper for helper in helpers if not helper.cancel()]
        for helper in helpers:
            helper.result()
    finally:
        waiting.clear()
    if failed:
        raise failed[min(failed)]
    return [done[place] for place in range(len(done))]
