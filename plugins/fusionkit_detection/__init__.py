"""First-party plugin: ``fusionkit detect``, how well a detector finds things in fused images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fusionkit import Command, hookimpl


def _main(arguments: Sequence[str]) -> int:
    from .command import main

    return main(arguments)


@hookimpl
def fusionkit_commands() -> Iterable[Command]:
    """Return the command of this plugin."""
    about = "score fused images by what a detector of yours finds in them"
    return [Command("detect", about, _main)]
