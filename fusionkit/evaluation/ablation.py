"""Running a study: every cell on every scene, resumable after any interruption."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contract.registry import Registry
from ..errors import FusionkitWarning, UsageError
from ..host.pool import LOST
from ..host.processes import Processes
from .folder import held, is_there, prepare, read_results, sealed, valid_lines
from .study import Cell, Loading, Study

if TYPE_CHECKING:  # what imports torch waits until there is something to do
    from ..host.parts import Part


def run_study(
    study: Study,
    folder: Path,
    registry: Registry,
    *,
    processes: Processes = Processes(),  # noqa: B008
    loading: Loading | None = None,
    built: dict[str, Part] | None = None,
    cache: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[str]:
    """Run what is not done yet; return what failed or could not be measured, one line each.

    Parameters
    ----------
    study
        What to run. A folder that holds another study is refused.
    folder
        Made if it is not there, and held against other processes while the study runs.
    registry
        Where components are found in this process.
    processes, loading
        Who shares the work, and which plugins they load.
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
        A folder cannot be made, holds another study, or another process is at work in it.

    Warns
    -----
    FusionkitWarning
        Of an axis that changes nothing in some rows.
    """
    with held(folder):
        prepare(study, folder)
        done = valid_lines(study, read_results(folder))
        done = {pair: line for pair, line in done.items() if is_there(folder, line)}
        todo = [
            (cell, scene)
            for cell in study.cells
            for scene in study.scenes
            if (cell.key, scene) not in done
        ]
        labels = {cell.key: cell.label for cell in study.cells}
        problems = [problem for line in done.values() for problem in _problems(line, labels)]
        if not todo:
            return problems
        if cache is not None:
            from ..sampling.cache import EstimateCache

            EstimateCache(cache)  # refused once, and not by every cell
        from .idle_axes import idle_axes

        for said in idle_axes(study, registry, built):
            warnings.warn(said, FusionkitWarning, stacklevel=2)
        work = _work(study, folder, todo, registry, processes, loading or Loading(), built, cache)
        try:
            with open(folder / "results.jsonl", "a", encoding="utf-8") as results:
                for line in work:
                    if "error" in line:
                        problems.append(f"{labels[line['cell']]}, {line['scene']}: {line['error']}")
                        continue
                    results.write(sealed(line))
                    results.flush()
                    os.fsync(results.fileno())
                    problems += _problems(line, labels)
                    if progress is not None:
                        progress(f"{line['cell']} {line['scene']}")
        except OSError as error:
            raise UsageError(f"{folder}: results cannot be kept: {error.strerror}") from None
    return problems


def _problems(line: Any, labels: dict[str, str]) -> list[str]:
    return [
        f"{labels[line['cell']]}, {line['scene']}: {metric}: {why}"
        for metric, why in line["problems"].items()
    ]


def _work(
    study: Study,
    folder: Path,
    todo: Sequence[tuple[Cell, str]],
    registry: Registry,
    processes: Processes,
    loading: Loading,
    built: dict[str, Part] | None,
    cache: str | None,
) -> Iterator[dict[str, Any]]:
    from .worker import Worker, start_worker, work_in_process

    if not processes.worth(len(todo)):
        worker = Worker(study, folder, registry, built, cache)
        for cell, scene in todo:
            yield worker.attempt(cell, scene)
        return
    with processes.pool(start_worker, (study, folder, loading, cache)) as pool:
        yield from pool.run(work_in_process, todo, _lost)


def _lost(cell: Cell, scene: str) -> dict[str, Any]:
    return {"cell": cell.key, "scene": scene, "error": LOST}
