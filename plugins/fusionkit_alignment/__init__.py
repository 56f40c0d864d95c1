"""First-party plugin: sources that do not lie on one another, aligned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from fusionkit import BuildContext, Command, Component, Preparation, hookimpl, option

if TYPE_CHECKING:
    from .align import Align


Model = Literal["auto", "none", "translation", "similarity", "homography", "flow"]

MODELS: tuple[Model, ...] = get_args(Model)
"""How sources can be moved."""


@dataclass(frozen=True)
class AlignOptions:
    """Options of the preparation ``align``."""

    model: Model = option(
        "auto",
        "How sources are moved onto the first; auto: by a shift, or a similarity, where they "
        "clearly lie elsewhere; flow: a similarity, then pixel by pixel (needs OpenCV).",
    )


def _align(options: AlignOptions, context: BuildContext) -> Align:
    from .align import Align

    return Align(options.model)


@hookimpl
def fusionkit_preparations() -> Iterable[Component[Preparation]]:
    """Return the preparation of this plugin."""
    return [
        Component("align", "move sources onto the first one", _align, AlignOptions),
    ]


def _command(arguments: Sequence[str]) -> int:
    from .command import main

    return main(arguments)


@hookimpl
def fusionkit_commands() -> Iterable[Command]:
    """Return the command of this plugin."""
    return [Command("align", "write images that lie on the first one", _command)]
