"""First-party plugin: fusion objectives, ``mse`` and ``increments``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusionkit import (
    IDENTITY_PRESERVING,
    SOURCE_SYMMETRIC,
    BuildContext,
    Component,
    Objective,
    hookimpl,
    option,
)

if TYPE_CHECKING:
    from .increments import Increments
    from .mse import Mse

_STRENGTH = (
    "lambda: trust in the prior against the sources; 0 makes the sources a hard target, "
    "which the fused trajectory cannot influence."
)


@dataclass(frozen=True)
class MseOptions:
    """Options of the ``mse`` objective."""

    strength: float = option(0.1, _STRENGTH, minimum=0, maximum=1e6)


@dataclass(frozen=True)
class IncrementsOptions:
    """Options of the ``increments`` objective."""

    strength: float = option(0.1, _STRENGTH, minimum=0, maximum=1e6)


def _mse(options: MseOptions, context: BuildContext) -> Mse:
    from .mse import Mse

    return Mse(options.strength)


def _increments(options: IncrementsOptions, context: BuildContext) -> Increments:
    from .increments import Increments

    return Increments(options.strength)


@hookimpl
def fusionkit_objectives() -> Iterable[Component[Objective]]:
    """Return the objectives of this plugin."""
    traits = frozenset({SOURCE_SYMMETRIC, IDENTITY_PRESERVING})
    return [
        Component(
            "mse",
            "weighted squared distance to the sources: the baseline",
            _mse,
            MseOptions,
            traits,
        ),
        Component(
            "increments",
            "fuse what each denoising step adds to each source, band by band",
            _increments,
            IncrementsOptions,
            traits,
        ),
    ]
