"""First-party plugin: sources as they were measured, restored by the prior and by one another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusionkit import (
    BuildContext,
    Component,
    Preparation,
    Registry,
    hookimpl,
    option,
)

if TYPE_CHECKING:
    from .observe import Observe


@dataclass(frozen=True)
class ObserveOptions:
    """Options of the preparation ``observe``."""

    chains: tuple[str, ...] = option(
        (),
        "How a source was measured, K:NAME[=VALUE][,NAME...], from the scene to the sensor: "
        "1:downsample,noise=3, 2:mask=auto; may be repeated. A source of fewer pixels that "
        "nothing is said of is 1:downsample.",
    )
    guided: bool = option(
        True, "Let sources that show the same structure help one another; the record says how much."
    )
    levels: int = option(
        10,
        "Evaluations of the prior for each source that is more than noisy.",
        minimum=1,
        maximum=200,
    )
    samples: int = option(
        0,
        "How sure the result is: so many scenes that may have been measured are drawn and fused, "
        "and their standard deviation is written beside the result, OUT.std.tif.",
        minimum=0,
        maximum=1000,
    )
    maps: bool = option(
        False,
        "Write beside the result what of each restored source comes from the others, "
        "OUT.taken.K.tif: what guided changes.",
    )

    def __post_init__(self) -> None:
        if self.samples == 1:
            raise ValueError("samples 1: a standard deviation takes 2 or more; 0 draws none")

    def check_sources(self, count: int, registry: Registry) -> None:
        """Refuse what is no chain, or that of a source that there is not."""
        from fusionkit import parse_observations

        parse_observations(whole(self.chains), count, registry)


def whole(texts: Sequence[str]) -> tuple[str, ...]:
    """Join what a list separated by commas has taken apart: a chain begins with K:."""
    joined: list[str] = []
    for text in texts:
        if joined and not re.match(r"\s*\d+\s*:", text):
            joined[-1] += f",{text}"
        else:
            joined.append(text)
    return tuple(joined)


def _observe(options: ObserveOptions, context: BuildContext) -> Observe:
    from .observe import Observe

    return Observe(
        whole(options.chains),
        options.guided,
        options.levels,
        context.registry,
        samples=options.samples,
        maps=options.maps,
    )


@hookimpl
def fusionkit_preparations() -> Iterable[Component[Preparation]]:
    """Return the preparation of this plugin."""
    return [
        Component(
            "observe",
            "restore sources of fewer pixels, blurred, noisy or with holes, on the common grid",
            _observe,
            ObserveOptions,
        )
    ]
