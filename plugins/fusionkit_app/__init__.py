"""First-party plugin: ``fusionkit app``, a page in the browser to fuse images by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fusionkit import Command, hookimpl


def _main(arguments: Sequence[str]) -> int:
    from .command import main

    return main(arguments)


@hookimpl
def fusionkit_commands() -> Iterable[Command]:
    """Return the command of this plugin."""
    return [Command("app", "fuse images in the browser, on this machine", _main, plugin_flags=True)]
