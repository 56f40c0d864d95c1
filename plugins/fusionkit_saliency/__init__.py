"""First-party plugin: ``saliency``, classical weights from the sources' contrast and intensity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fusionkit import SOURCE_SYMMETRIC, BuildContext, Component, Weighting, hookimpl, option

if TYPE_CHECKING:
    from .saliency import Saliency


@dataclass(frozen=True)
class SaliencyOptions:
    """Options of the ``saliency`` weighting."""

    measure: Literal["both", "contrast", "intensity", "gradient"] = option(
        "both",
        "What makes a pixel count: its contrast (Laplacian), how far its smoothed value is "
        "from the image's mean, the sum of both, or its squared gradient.",
    )
    window: int = option(
        11,
        "Side in pixels of the window that the measure is averaged over, odd.",
        minimum=1,
        maximum=9999,
    )
    sharpness: float = option(
        4.0,
        "How strongly the more salient source is preferred; 0 is the mean.",
        minimum=0,
        maximum=1e6,
    )

    consistency: int = option(
        1,
        "Side in pixels of a window, odd, within which neighbours are made to agree on a source; "
        "1 for none.",
        minimum=1,
    )

    def __post_init__(self) -> None:
        for name in ("window", "consistency"):
            if getattr(self, name) % 2 == 0:
                raise ValueError(f"{name} must be odd, not {getattr(self, name)}")


def _saliency(options: SaliencyOptions, context: BuildContext) -> Saliency:
    from .saliency import Saliency

    return Saliency(options.measure, options.window, options.sharpness, options.consistency)


@hookimpl
def fusionkit_weightings() -> Iterable[Component[Weighting]]:
    """Return the weighting of this plugin."""
    return [
        Component(
            "saliency",
            "the classical choice: weigh each source by its local contrast and its "
            "difference from its mean",
            _saliency,
            SaliencyOptions,
            frozenset({SOURCE_SYMMETRIC}),
        )
    ]
