"""Parts of work on threads that are lent: in order, as many as were lent, whatever is nested."""

import threading
import time

import pytest
import torch

from fusionkit import side_by_side
from fusionkit.ops.threads import lent_threads


class Watch:
    """Counts the threads that are at work, and the most at once."""

    def __init__(self, together: int = 1) -> None:
        """Let the first ``together`` parts, from 0, wait for one another."""
        self.lock, self.now, self.most = threading.Lock(), 0, 0
        self.barrier = threading.Barrier(together, timeout=60)
        self.seen: set[int] = set()

    def __call__(self, part: int) -> int:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.seen.add(threading.get_ident())
        if part < self.barrier.parties > 1:
            self.barrier.wait()
        time.sleep(0.005)
        with self.lock:
            self.now -= 1
        return part * part


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_results_are_in_the_order_of_the_parts(count: int) -> None:
    watch = Watch(count)
    with lent_threads(count):
        found = side_by_side(watch, iter(range(12)))
    watch.barrier = threading.Barrier(1)
    assert found == [n * n for n in range(12)]
    assert watch.most == count
    assert side_by_side(watch, range(3)) == [0, 1, 4]
    assert side_by_side(watch, []) == []


def test_without_threads_it_is_done_here() -> None:
    watch = Watch()
    side_by_side(watch, range(4))
    with lent_threads(1):
        side_by_side(watch, range(4))
    assert watch.seen == {threading.get_ident()}


def test_parts_of_parts_end_and_take_no_more_threads() -> None:
    watch = Watch()

    def deep(level: int) -> int:
        parts = [level - 1] * 3
        return sum(side_by_side(deep, parts)) if level else watch(1)

    with lent_threads(3):
        assert side_by_side(deep, [3] * 5) == [27] * 5
    assert 2 <= watch.most <= 3


def test_a_thread_that_is_free_helps_with_parts_of_parts() -> None:
    watch = Watch()

    def uneven(count: int) -> int:
        return sum(side_by_side(watch, [1] * count))

    with lent_threads(2):
        assert side_by_side(uneven, [1, 40]) == [1, 40]
    assert len(watch.seen) == 2
    assert watch.most == 2


@pytest.mark.parametrize("count", [1, 4])
def test_the_first_exception_is_raised_and_nothing_new_begins(count: int) -> None:
    begun = []

    def fails(part: int) -> None:
        begun.append(part)
        time.sleep(0.03 if part == 0 else 0.001)  # the first fails last
        raise ValueError(f"part {part}")

    with lent_threads(count), pytest.raises(ValueError, match="part 0"):
        side_by_side(fails, range(100))
    assert len(begun) <= count


def test_torch_has_one_thread_in_each_and_its_own_afterwards() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with lent_threads(2):
            seen = side_by_side(lambda part: torch.get_num_threads(), range(8))
            assert {*seen, torch.get_num_threads()} == {1}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
