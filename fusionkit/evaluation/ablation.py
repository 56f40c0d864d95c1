"""Running a study: every cell on every scene, resumable after any interruption."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..cache import EstimateCache
from ..components import Registry
from ..pipeline import Part
from .pool import Pool
from .study import Cell, Loading, Study, finished, prepare


def run_study(
    study: Study,
    folder: Path,
    registry: Registry,
    *,
    jobs: int = 1,
    loading: Loading | None = None,
    built: dict[str, Part] | None = None,
    cache: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[str]:
    """Run what is not done yet; return what failed, one line each.

    Parameters
    ----------
    study
        What to run. A folder that holds another study is refused.
    folder
        Made if it is not there.
    registry
        Where components are found in this process.
    jobs, loading
        How many processes, and which plugins they load.
    built
        Components that this process has built already, to be used again.
    cache
        A folder of source estimates, which the variants of a study mostly share. Times then
        say little of a variant; its NFE is counted as if it had found nothing there.
    progress
        Called with a line for every finished pair of cell and scene.

    Raises
    ------
    UsageError
        A folder cannot be made, or holds another study.
    """
    prepare(study, folder)
    if cache is not None:
        EstimateCache(cache)  # refused once, and not by every cell
    done = set(finished(folder))
    todo = [
        (cell, scene)
        for cell in study.cells
        for scene in study.scenes
        if (cell.key, scene) not in done
    ]
    problems = []
    with open(folder / "results.jsonl", "a", encoding="utf-8") as results:
        loading = loading or Loading()
        for line in _work(study, folder, todo, registry, jobs, loading, built, cache):
            if "error" in line:
                problems.append(f"{line['cell']}, {line['scene']}: {line['error']}")
                continue
            results.write(json.dumps(line) + "\n")
            results.flush()
            os.fsync(results.fileno())
            problems += [
                f"{line['cell']}, {line['scene']}: {metric}: {why}"
                for metric, why in line["problems"].items()
            ]
            if progress is not None:
                progress(f"{line['cell']} {line['scene']}")
    return problems


def _work(
    study: Study,
    folder: Path,
    todo: Sequence[tuple[Cell, str]],
    registry: Registry,
    jobs: int,
    loading: Loading,
    built: dict[str, Part] | None,
    cache: str | None,
) -> Iterator[dict[str, Any]]:
    from .worker import Worker, start_worker, work_in_process

    if jobs == 1 or len(todo) < 2:
        worker = Worker(study.metrics, folder, registry, built, cache)
        for cell, scene in todo:
            yield worker.attempt(cell, scene, study.scenes[scene])
        return
    arguments = (list(study.metrics), folder, loading, jobs, cache)
    with Pool(jobs, start_worker, arguments) as pool:
        tasks = [(cell, scene, list(study.scenes[scene])) for cell, scene in todo]
        yield from pool.run(work_in_process, tasks)
