"""First-party plugin: sources as they were measured, restored by the prior and by one another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusionkit import BuildContext, Component, Preparation, hookimpl, option

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
        6,
        "Evaluations of the prior for each source that is more than noisy.",
        minimum=1,
        maximum=200,
    )


def _observe(options: ObserveOptions, context: BuildContext) -> Observe:
    from .observe import Observe

    return Observe(options.chains, options.guided, options.levels, context.registry)


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
