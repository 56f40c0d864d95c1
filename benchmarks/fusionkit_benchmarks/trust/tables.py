"""The tables of the benchmark, with the rows and the columns that metrics are judged by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fusionkit.contract.registry import Registry
from fusionkit.evaluation.presets import source_names

from ..quality.denoised import DenoiseFirst
from ..quality.methods import Trivial
from ..quality.runner import Table
from ..quality.tables import Plan, Tables
from .view import AgainstBoth


def trust_tables(plan: Plan, metrics: tuple[str, ...], registry: Registry) -> Iterator[Table]:
    """Yield the tables of a plan, measured by these metrics, or by all that there are."""
    view = AgainstBoth(registry, metrics)
    for table in Tables(plan, registry):
        methods = [each for each in table.methods if not isinstance(each, DenoiseFirst)]
        yield replace(
            table,
            groups={label: group for label, group in table.groups.items() if label != "clean"},
            methods=[*methods, *map(Trivial, source_names(2))],
            view=view,
        )
