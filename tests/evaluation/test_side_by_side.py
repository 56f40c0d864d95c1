"""Metrics of one image on several threads: the same values, prints and problems as on one."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

import fusionkit
from fusionkit import BaseMetric, FusionkitWarning, Registry, evaluate
from fusionkit.evaluation import meter
from fusionkit.evaluation.meter import Meter
from fusionkit.evaluation.presets import metric_names

TOGETHER = 30.0
"""Seconds within which threads meet, or the test fails."""


class Named(BaseMetric):
    """A metric that says when it is at work, and where."""

    higher_is_better = False
    convention = "a test's"
    sources = "any"
    thread_safe = True
    threads: list[int]

    def __init__(self, log: list[tuple[str, str]]) -> None:
        self.log, self.threads = log, []

    def __call__(self, fused: Tensor, sources: Tensor) -> Tensor:
        name = type(self).__name__
        self.threads.append(threading.get_ident())
        self.log.append((name, "begins"))
        self.work()
        self.log.append((name, "ends"))
        return (fused - sources).abs().mean((0, 2, 3, 4))

    def work(self) -> None:
        time.sleep(0.01)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a function that says how many threads and cores there are from now on."""
    before = torch.get_num_threads()

    def allowed(count: int, cores: int | None = None) -> None:
        torch.set_num_threads(count)
        monkeypatch.setattr(meter, "cores", lambda: count if cores is None else cores)

    yield allowed
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return fusionkit.load_plugins()


GREY = [np.ascontiguousarray(data.camera()[100:260, 180:356])]
GREY += [GREY[0] // 2, np.roll(GREY[0], 2, 0)]
COLOUR = [np.ascontiguousarray(data.astronaut()[:160, 100:276])]
COLOUR += [COLOUR[0] // 2, COLOUR[0][::-1].copy()]


@pytest.mark.slow
@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
def test_all_metrics_are_the_same_to_the_last_bit_and_in_order(images, threads, registry):
    names = metric_names("all", registry)
    found = []
    for count in (1, 2, 4, 3):
        threads(count)
        values = evaluate(
            images[0], images[1:], metrics=names, reference=images[1], registry=registry
        )
        found.append(list(values.items()))
    assert len(found[0]) > 25
    assert found[1:] == [found[0]] * 3


@pytest.mark.slow
def test_a_foreground_is_the_same_to_the_last_bit(threads, registry):
    fused, *sources = (torch.from_numpy(image).double() for image in GREY)
    found = []
    for count in (1, 4):
        threads(count)
        of = Meter(metric_names("all", registry), registry)
        found.append(of.measure_foreground(fused, torch.stack(sources), 60.0))
    assert len(found[0][0]) > 10
    assert found[0] == found[1]


def test_those_that_are_thread_safe_are_computed_at_once(threads):
    meet = threading.Barrier(2, timeout=TOGETHER)

    class First(Named):
        def work(self) -> None:
            meet.wait()

    class Second(First):
        pass

    threads(2)
    assert len(evaluate(GREY[0], GREY[1:], metrics=[First([]), Second([])])) == 2


def test_any_other_is_computed_while_nothing_else_is(threads):
    log: list[tuple[str, str]] = []

    class First(Named):
        pass

    class Second(Named):
        pass

    class Alone(Named):
        thread_safe = False

    class AloneToo(Alone):
        pass

    threads(4)
    metrics = [Alone(log), First(log), AloneToo(log), Second(log)]
    assert list(evaluate(GREY[0], GREY[1:], metrics=metrics)) == [
        "given:alone",
        "given:first",
        "given:alone-too",
        "given:second",
    ]
    assert log[4:] == [
        *(("Alone", what) for what in ("begins", "ends")),
        *(("AloneToo", what) for what in ("begins", "ends")),
    ]


@pytest.mark.parametrize(("count", "cores"), [(1, 8), (8, 1)])
def test_one_thread_or_one_core_is_no_other_thread(count, cores, threads):
    metrics = [Named([]), Named([])]
    threads(count, cores)
    evaluate(GREY[0], GREY[1:], metrics=metrics)
    assert {*metrics[0].threads, *metrics[1].threads} == {threading.get_ident()}


def test_problems_and_prints_are_those_of_their_metric(threads, capsys):
    meet = threading.Barrier(2, timeout=TOGETHER)

    class Chatty(Named):
        def work(self) -> None:
            for n in range(50):
                meet.wait()
                print(n, end=" ")
            print()

    class Raising(Named):
        def work(self) -> None:
            for _ in range(50):
                meet.wait()
            print("before it fails")
            raise ValueError("no\nmetric")

    threads(2)
    with pytest.warns(FusionkitWarning, match="given:raising: ValueError: no metric"):
        found = evaluate(GREY[0], GREY[1:], metrics=[Chatty([]), Raising([])])
    assert list(found) == ["given:chatty"]
    shown = capsys.readouterr()
    assert shown.out == ""
    fifty = " ".join(map(str, range(50)))
    assert sorted(line.rstrip() for line in shown.err.splitlines()) == [
        f"metric given:chatty: {fifty}",
        "metric given:raising: before it fails",
    ]
    print("back")
    assert capsys.readouterr().out == "back\n"
    assert type(sys.stdout).__module__ != "fusionkit.contract.stray"
