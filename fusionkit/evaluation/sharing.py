"""Scenes measured side by side: processes that each build the metrics once, on one thread.

On one thread sums are taken in one order, so that values do not depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..contract.reading import use_readers
from ..contract.registry import Registry
from ..host.plugins import load_plugins
from ..host.pool import LOST
from ..host.processes import Processes
from ..ops.threads import one_thread
from .measure import Progress, evaluate
from .meter import Meter, reference_meter
from .presets import trivial_names
from .ranges import Range, Ranges
from .scores import Scores
from .study import Loading

Methods = Mapping[str, Mapping[str, Path]]
Scenes = Mapping[str, Sequence[Path]]


@dataclass(frozen=True)
class Measuring:
    """What is measured, and how; for a process that knows nothing of it.

    Attributes
    ----------
    metrics, options, device
        Those of :class:`.meter.Meter`.
    ranges, stretch
        Those of :class:`.ranges.Ranges`.
    baselines, foreground
        Those of :func:`.measure.evaluate`.
    """

    metrics: tuple[str, ...]
    options: Mapping[str, Mapping[str, Any]]
    device: str
    ranges: Mapping[str, Range]
    stretch: Sequence[int]
    baselines: bool
    foreground: float | None


class Measurer:
    """Measures scenes in this process, on one thread, with metrics that are built once."""

    def __init__(self, measuring: Measuring, registry: Registry, with_truth: bool) -> None:
        self._asked = measuring
        self._meter = Meter(measuring.metrics, registry, measuring.device, measuring.options)
        self._against = None
        if with_truth:
            self._against = reference_meter(registry, measuring.device, also=self._meter)

    def scenes(
        self,
        methods: Methods,
        scenes: Scenes,
        truth: Mapping[str, Path] | None,
        progress: Progress | None = None,
    ) -> Scores:
        """Return the scores of scenes; arguments as those of :func:`.measure.evaluate`."""
        with one_thread():
            return evaluate(
                methods,
                scenes,
                self._meter,
                ranges=Ranges(self._asked.ranges, self._asked.stretch),
                baselines=self._asked.baselines,
                foreground=self._asked.foreground,
                truth=truth,
                truth_meter=self._against,
                progress=progress,
            )


def in_processes(
    measuring: Measuring,
    loading: Loading,
    processes: Processes,
    methods: Methods,
    scenes: Scenes,
    truth: Mapping[str, Path] | None,
    progress: Progress | None = None,
) -> Scores:
    """Measure scenes in other processes; the values are those of this one.

    A process that is ended from outside fails its scene alone.
    """
    parts: dict[str, Scores | None] = {}
    tasks = (_task(scene, methods, scenes, truth) for scene in scenes)
    with processes.pool(_start, (measuring, loading, truth is not None)) as pool:
        for scene, part in pool.run(_measure, tasks, _lost):
            parts[scene] = part
            if progress is not None:
                progress(scene)
    most = max(map(len, scenes.values()), default=0)
    names = [*methods, *(trivial_names(most) if measuring.baselines else ())]
    return _joined(names, {scene: parts[scene] for scene in scenes})


def _task(
    scene: str, methods: Methods, scenes: Scenes, truth: Mapping[str, Path] | None
) -> tuple[Any, ...]:
    results = {
        name: {scene: found[scene]} if scene in found else {} for name, found in methods.items()
    }
    reference = None if truth is None else {s: path for s, path in truth.items() if s == scene}
    return scene, results, {scene: scenes[scene]}, reference


def _joined(methods: Sequence[str], parts: Mapping[str, Scores | None]) -> Scores:
    """Join the scores of single scenes, None for one that was lost; some lack rows of sources."""
    columns = next((part.columns for part in parts.values() if part is not None), [])
    whole = Scores.empty(methods, list(parts), columns)
    notes: dict[str, None] = {}
    for place, (scene, part) in enumerate(parts.items()):
        if part is None:
            whole.problems.append(f"{scene}: {LOST}")
            continue
        rows = [whole.methods.index(method) for method in part.methods]
        whole.values[rows, place] = part.values[:, 0]
        whole.counts |= part.counts
        whole.problems += part.problems
        notes |= dict.fromkeys(part.notes)
    whole.notes += notes
    return whole


_measurer: Measurer | None = None


def _start(measuring: Measuring, loading: Loading, with_truth: bool) -> None:
    global _measurer
    registry = load_plugins(disabled=loading.disabled, inline=loading.inline)
    use_readers(registry)
    _measurer = Measurer(measuring, registry, with_truth)


def _measure(
    scene: str, methods: Methods, scenes: Scenes, truth: Mapping[str, Path] | None
) -> tuple[str, Scores]:
    assert _measurer is not None
    return scene, _measurer.scenes(methods, scenes, truth)


def _lost(scene: str, *others: object) -> tuple[str, None]:
    return scene, None
