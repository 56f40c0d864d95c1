"""Commands: subcommands of ``fusionkit``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .component import Contribution
from .kind import Kind

BUILT_IN = {
    "run": "fuse registered images of one scene, or folders of them",
    "evaluate": "measure fused images against their sources",
    "ablate": "run every combination of components and options, and report",
    "compare": "put images side by side on a labelled sheet, with enlarged regions",
    "plugins": "list plugins and what they provide, with options",
    "recipes": "list recipes, or print one",
    "new-plugin": "write the files of a package with one component, to begin with",
    "doctor": "check this installation: versions, device, plugins, conformance",
}
"""The commands that fusionkit has itself: their names are taken."""

SEPARATE = {"bench": "benchmarks", "train": "training"}
"""Commands of packages that are not in the wheel: their plugins, and folders in a checkout."""


@dataclass(frozen=True)
class Command(Contribution):
    """A subcommand of ``fusionkit``.

    Attributes
    ----------
    main
        ``main(arguments)`` runs it with the words after its name, and returns the exit code.
        Imports that take long belong inside it. :class:`fusionkit.UsageError` is told in one
        line, and ends with 2.
    plugin_flags
        Whether ``main`` gets ``--plugin`` and ``--no-plugin`` too, as a command that loads plugins
        itself needs; otherwise they only say where the command may come from.
    """

    main: Callable[[Sequence[str]], int]
    plugin_flags: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.main):
            raise TypeError(f"command {self.name}: main is not callable")
        if self.name in BUILT_IN:
            raise ValueError(f"command {self.name}: fusionkit has a command of this name itself")


COMMAND = Kind(
    group="command",
    title="command",
    hook="fusionkit_commands",
    summary="subcommands of fusionkit",
    record=Command,
)
"""The kind of commands."""
