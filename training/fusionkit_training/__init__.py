"""How the weights that fusionkit ships were trained, and what any such training needs.

``plan`` says how much of it there is, ``photographs`` what is learned from, ``rounds`` stops and
resumes, ``state`` is saved whole or not at all. ``compact`` and ``learned`` are a training each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fusionkit import Command, hookimpl


@hookimpl
def fusionkit_commands() -> Iterable[Command]:
    """Return the command of this plugin."""
    return [Command("train", "train what ships with weights: compact, learned", _train)]


def _train(arguments: Sequence[str]) -> int:
    from .command import main

    return main(arguments)
