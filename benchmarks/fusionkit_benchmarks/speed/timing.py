"""A pipeline whose parts are timed: wrappers round what was built, nothing in the loop itself."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from torch import Tensor

from fusionkit.contract.objective import StartedObjective
from fusionkit.contract.run import Run as RunProtocol
from fusionkit.contract.run import Step
from fusionkit.contract.weighting import StartedWeighting
from fusionkit.host.hardware import synchronize
from fusionkit.host.parts import Fused
from fusionkit.host.pipeline import Pipeline
from fusionkit.sampling.run import Run

LOOP = "loop"
"""What the host does itself: noise, padding, checks, DDIM steps."""

_OF_THE_HOST = ("noise", "clean_estimate", "source_estimate", "reduced")


class Stopwatch:
    """Seconds of each part, none counted twice: a part that begins inside another pauses it.

    Attributes
    ----------
    seconds
        By part.
    flops
        Operations of the noise estimator, as far as it tells them.
    """

    def __init__(self, device: str) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.flops = 0.0
        self._device = device
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what runs inside as this part's."""
        self._turn()
        self._running.append(name)
        try:
            yield
        finally:
            self._turn()
            self._running.pop()

    def _turn(self) -> None:
        """Give the time since the last turn to the part that was running."""
        synchronize(self._device)
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now


class TimedPipeline(Pipeline):
    """A pipeline that does the same with a stopwatch running.

    What a component has the host do, such as drawing noise, counts as the loop's.
    """

    def __init__(self, pipeline: Pipeline, watch: Stopwatch) -> None:
        parts = dict(pipeline.parts)
        for group, wrapped in _WRAPPERS.items():
            parts[group] = replace(parts[group], built=wrapped(parts[group].built, watch))
        super().__init__(parts, pipeline.settings, pipeline.context, pipeline.cache)
        self._watch = watch

    def __call__(self, *args: Any, **kwargs: Any) -> Fused:
        """Fuse a batch; see :class:`fusionkit.host.pipeline.Pipeline`."""
        with self._watch.part(LOOP), _host_counts_as_loop(self._watch):
            return super().__call__(*args, **kwargs)


class _Wrapper:
    """All but what is timed is the wrapped component's own."""

    def __init__(self, built: Any, watch: Stopwatch) -> None:
        self._built = built
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._built, name)


class _Estimator(_Wrapper):
    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        flops = getattr(self._built, "flops", None)
        if flops is not None:
            self._watch.flops += len(x) * flops(*x.shape[-2:])
        with self._watch.part("estimator"):
            x0: Tensor = self._built.denoise(x, sigma)
            return x0


class _Weighting(_Wrapper):
    def start(self, run: RunProtocol) -> StartedWeighting:
        with self._watch.part("weighting"):
            started: StartedWeighting = self._built.start(run)
        return _timed(started, "weighting", self._watch)


class _Objective(_Wrapper):
    def start(self, run: RunProtocol) -> StartedObjective:
        with self._watch.part("objective"):
            started: StartedObjective = self._built.start(run)
        return _StartedObjective(started, self._watch)


class _StartedObjective:
    def __init__(self, started: StartedObjective, watch: Stopwatch) -> None:
        self._started = started
        self._watch = watch

    def initial(self, weights: Tensor) -> Tensor:
        with self._watch.part("objective"):
            return self._started.initial(weights)

    def rectify(self, step: Step, weights: Tensor) -> Tensor:
        with self._watch.part("objective"):
            return self._started.rectify(step, weights)


def _timed(function: Callable[..., Any], part: str, watch: Stopwatch) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        with watch.part(part):
            return function(*args, **kwargs)

    return timed


_WRAPPERS: dict[str, type[_Wrapper]] = {
    "estimator": _Estimator,
    "weighting": _Weighting,
    "objective": _Objective,
}


@contextmanager
def _host_counts_as_loop(watch: Stopwatch) -> Iterator[None]:
    with ExitStack() as stack:
        for name in _OF_THE_HOST:
            method = getattr(Run, name)
            stack.enter_context(patch.object(Run, name, _timed(method, LOOP, watch)))
        yield
