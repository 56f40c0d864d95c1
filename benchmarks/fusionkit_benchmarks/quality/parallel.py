"""Scenes in parallel processes: each makes the tables again, and is told which scene is its."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from fusionkit.contract.reading import use_readers
from fusionkit.contract.registry import Registry
from fusionkit.evaluation.study import Loading
from fusionkit.host.plugins import load_plugins
from fusionkit.host.pool import Pool

from .runner import Result, Runner, Table
from .store import Store

Making = Callable[[Registry], Iterable[Table]]


class Workers:
    """Processes that run scenes into one store; for a ``with`` block.

    Parameters
    ----------
    tables
        Makes the tables, the same and in the same order in every process.
    folder, any_code
        As those of :class:`.store.Store` and :class:`.runner.Runner`.
    loading
        Which plugins they load.
    jobs
        How many.
    """

    def __init__(
        self, tables: Making, folder: Path, any_code: bool, loading: Loading, jobs: int
    ) -> None:
        self.pool = Pool(jobs, _start, (tables, folder, any_code, loading))

    def scenes(self, place: int, names: Sequence[str]) -> Iterator[tuple[str, list[Result]]]:
        """Yield the results of scenes of the table at a place, each as soon as it is there."""
        yield from self.pool.run(_scenes, [(place, name) for name in names])


_runner: Runner | None = None
_tables: list[Table] = []


def _start(tables: Making, folder: Path, any_code: bool, loading: Loading) -> None:
    global _runner
    _runner = Runner(Store(folder), any_code)
    registry = load_plugins(disabled=loading.disabled, inline=loading.inline)
    use_readers(registry)
    _tables.extend(tables(registry))


def _scenes(place: int, name: str) -> tuple[str, list[Result]]:
    assert _runner is not None
    return name, _runner.scenes(_tables[place], name)
