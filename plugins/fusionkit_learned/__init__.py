"""First-party plugin: ``learned``, weights from a small trained network (docs/learned.md)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fusionkit import (
    SOURCE_SYMMETRIC,
    WEIGHTING,
    BuildContext,
    Component,
    UsageError,
    Weighting,
    hookimpl,
    option,
)

if TYPE_CHECKING:
    from .learned import Learned

DIG_WINDOW = 9
"""Side of the window that gains are averaged over, as in the recipe of focus stacks."""


@dataclass(frozen=True)
class LearnedOptions:
    """Options of the ``learned`` weighting."""

    subject: Literal["focus", "exposure"] = option(
        "focus",
        "Which of our weights: those for focus stacks, or those for exposures.",
    )
    checkpoint: Path | None = option(
        None, "A .safetensors file of your own training; none for ours."
    )
    sha256: str = option("", "The SHA-256 that this file must have; empty for any.")
    sharpness: float = option(
        1.0,
        "How strongly the better source is preferred: a factor of the scores; 0 is the mean.",
        minimum=0,
        maximum=1e3,
    )
    dig: float = option(
        0.0,
        "The power of DIG's gains that scores are multiplied by; 0 asks no prior.",
        minimum=0,
        maximum=1e3,
    )

    def __post_init__(self) -> None:
        if self.sha256 and not re.fullmatch("[0-9a-fA-F]{64}", self.sha256):
            raise ValueError(f"sha256 is 64 hexadecimal digits, not {self.sha256!r}")
        if self.sha256 and not self.checkpoint:
            raise ValueError("sha256 is for a checkpoint of your own; ours is checked anyway")


def _learned(options: LearnedOptions, context: BuildContext) -> Learned:
    from .learned import Learned

    return Learned(
        options.checkpoint,
        subject=options.subject,
        sha256=options.sha256,
        sharpness=options.sharpness,
        gains=_gains(options.dig, context),
        device=context.device,
        precision=context.precision,
    )


def _gains(power: float, context: BuildContext) -> Weighting | None:
    """Build what weighs sources by their gains from the run's first level on; None for no power."""
    if not power:
        return None
    if context.registry is None:
        raise UsageError(
            f"--weighting.dig {power:g}: gains are those of the weighting dig, which is found "
            "among plugins: compose a pipeline"
        )
    dig = context.registry.find(WEIGHTING, "dig:dig")
    chosen = {"dynamic": False, "scale": power, "window": DIG_WINDOW}
    built: Weighting = dig.build(dig.make_options(chosen), context)
    return built


@hookimpl
def fusionkit_weightings() -> Iterable[Component[Weighting]]:
    """Return the weighting of this plugin."""
    return [
        Component(
            "learned",
            "a small network, trained on focus stacks or on exposures whose answer is known",
            _learned,
            LearnedOptions,
            frozenset({SOURCE_SYMMETRIC}),
        )
    ]
