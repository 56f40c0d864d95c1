"""First-party plugin: samplers, from the first noise level to the fused image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fusionkit import BuildContext, Component, NoOptions, Sampler, hookimpl, option

if TYPE_CHECKING:
    from .ddim import DDIM
    from .direct import Direct
    from .heun import Heun
    from .pigdm import PiGDM


@dataclass(frozen=True)
class DDIMOptions:
    """Options of the ``ddim`` sampler."""

    eta: float = option(0.0, "0 is deterministic, 1 adds the noise of DDPM.", minimum=0, maximum=1)
    noise_of: Literal["corrected", "uncorrected"] = option(
        "corrected",
        "The estimate that the noise of an image is told from: the corrected one, or the prior's "
        "own, with which a correction moves the trajectory by all of itself.",
    )


@dataclass(frozen=True)
class PiGDMOptions:
    """Options of the ``pigdm`` sampler."""

    eta: float = option(0.0, "As of ddim.", minimum=0, maximum=1)
    rate: float = option(
        1.0, "How far to follow the gradient; 1 is the published step.", above=0, maximum=10
    )


def _direct(options: NoOptions, context: BuildContext) -> Direct:
    from .direct import Direct

    return Direct()


def _ddim(options: DDIMOptions, context: BuildContext) -> DDIM:
    from .ddim import DDIM

    return DDIM(options.eta, options.noise_of)


def _heun(options: NoOptions, context: BuildContext) -> Heun:
    from .heun import Heun

    return Heun()


def _pigdm(options: PiGDMOptions, context: BuildContext) -> PiGDM:
    from .pigdm import PiGDM

    return PiGDM(options.eta, options.rate)


@hookimpl
def fusionkit_samplers() -> Iterable[Component[Sampler]]:
    """Return the samplers of this plugin."""
    return [
        Component("direct", "no trajectory: what sources and levels alone ask for", _direct),
        Component("ddim", "DDIM, towards the corrected estimate", _ddim, DDIMOptions),
        Component("heun", "EDM's second-order steps, two evaluations each", _heun),
        Component(
            "pigdm",
            "posterior sampling: corrections go through the prior's gradient",
            _pigdm,
            PiGDMOptions,
        ),
    ]
