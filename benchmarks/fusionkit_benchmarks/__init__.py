"""Benchmarks of fusionkit: ``fusionkit bench quality``, ``fusionkit bench speed``, and studies.

``truth`` makes scenes with a known answer; ``quality`` and ``speed`` are a subcommand each;
``studies`` are scripts that remake one page's tables each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fusionkit import Command, hookimpl


@hookimpl
def fusionkit_commands() -> Iterable[Command]:
    """Return the command of this plugin."""
    about = "remake the benchmarks: fusion quality, speed"
    return [Command("bench", about, _bench, plugin_flags=True)]


def _bench(arguments: Sequence[str]) -> int:
    from .command import main

    return main(arguments)
