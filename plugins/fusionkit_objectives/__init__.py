"""First-party plugin: fusion objectives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

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
    from .ccf_published import CcfPublished
    from .condition_bank import ConditionBank
    from .ddfm_em import DdfmEm
    from .ddfm_published import DdfmPaper, DdfmReleased
    from .gradients import Gradients
    from .increments import Increments
    from .mse import Mse

_STRENGTH = (
    "lambda: trust in the prior against the sources; 0 makes the sources a hard target, "
    "which the fused trajectory cannot influence."
)


@dataclass(frozen=True)
class MseOptions:
    """Options of the ``mse`` objective."""

    strength: float = option(0.0, _STRENGTH, minimum=0, maximum=1e6)


_BASE = (
    "From the weights; the plain mean; the larger value, which keeps hot objects hot; what is "
    "nearest to mid-grey, by pixels or (tone) by places; what stands out from its image's mean; or "
    "(contrast) the mean with as much contrast as the source that has most."
)


@dataclass(frozen=True)
class IncrementsOptions:
    """Options of the ``increments`` objective."""

    strength: float = option(0.0, _STRENGTH, minimum=0, maximum=1e6)
    base: Literal["weights", "mean", "max", "exposure", "tone", "saliency", "contrast"] = option(
        "weights", "How the lowest bands, what the noisiest level still shows, are fused. " + _BASE
    )


@dataclass(frozen=True)
class GradientsOptions:
    """Options of the ``gradients`` objective."""

    strength: float = option(0.0, _STRENGTH, minimum=0, maximum=1e6)
    psi: float = option(
        2000.0,
        "Weight of the gradients against the base, which fills in over about sqrt(psi) pixels.",
        above=0,
        maximum=1e9,
    )
    base: Literal["weights", "mean", "max", "exposure", "tone", "saliency", "contrast"] = option(
        "weights", "Where the brightness comes from. " + _BASE
    )
    hidden: float = option(
        0.0,
        "How much is added of the structure that darker sources have where another is brighter.",
        minimum=0,
        maximum=1,
    )
    gain: float = option(
        0.0,
        "At most how many times as far from the darkest value as the brightest source, at each "
        "pixel, so that black ground stays black; 0 for no bound, else 1 or more.",
        minimum=0,
        maximum=100,
    )
    targets: float = option(
        0.0,
        "What share of the contrast to its surround a hot target of one source keeps; 0 for none.",
        minimum=0,
        maximum=1,
    )
    cold: float = option(
        0.0,
        "What share of it a target keeps that is darker than its surround; 0 for none.",
        minimum=0,
        maximum=1,
    )
    outlines: bool = option(
        False,
        "Restore what lies beside outlines in a focus stack, where no source is sharp: "
        "some seconds a megapixel for each pair of sources that meet there.",
    )

    def __post_init__(self) -> None:
        if 0 < self.gain < 1:
            raise ValueError(f"gain is 1 or more, or 0 for no bound, not {self.gain:g}")


@dataclass(frozen=True)
class DdfmEmOptions:
    """Options of the ``ddfm-em`` objective."""

    variant: Literal["symmetric", "paper", "released"] = option(
        "symmetric",
        "Any sources, all alike; or infrared and visible, in this order, as DDFM's paper states "
        "it or as its released code computes it.",
    )
    strength: float = option(
        0.0,
        _STRENGTH + " paper begins at the trajectory even so; released does not read it.",
        minimum=0,
        maximum=1e6,
        only_with={"variant": ("symmetric", "paper")},
    )
    psi: float = option(
        -1.0,
        "Weight of the gradient term against the l1 distances; -1 takes the variant's own, "
        "100 for symmetric and 0.5 for the others.",
        minimum=-1,
        maximum=1e6,
    )
    eta: float = option(
        0.0,
        "Weight that couples the two halves of the splitting; 0 takes the variant's own, "
        "4 for symmetric and 0.01 for the others.",
        minimum=0,
        maximum=1e6,
    )
    iterations: int = option(
        0,
        "Passes of EM per step; 0 takes the variant's own, 5 for symmetric and 1 for the others.",
        minimum=0,
        maximum=1000,
    )
    scales: Literal["fixed", "learned"] = option(
        "fixed",
        "Scales of the two Laplace terms: equal, or learned and carried from step to step, which "
        "lets one source win everywhere. released learns them.",
        only_with={"variant": ("paper",)},
    )

    def __post_init__(self) -> None:
        if -1 < self.psi < 0:
            raise ValueError(f"psi must be -1 or at least 0, not {self.psi}")


_OWN = {"symmetric": (100.0, 4.0, 5), "paper": (0.5, 0.01, 1), "released": (0.5, 0.01, 1)}
"""psi, eta and iterations of each variant."""


@dataclass(frozen=True)
class ConditionBankOptions:
    """Options of the ``condition-bank`` objective."""

    variant: Literal["balanced", "published"] = option(
        "balanced",
        "Adam anew at each sampling step, on what it keeps of eight conditions; or one step of "
        "an Adam that goes on from step to step, from the clean estimate, as CCF's code has it.",
    )
    strength: float = option(
        0.0, _STRENGTH, minimum=0, maximum=1e6, only_with={"variant": ("balanced",)}
    )
    iterations: int = option(
        20,
        "Adam steps per sampling step.",
        minimum=1,
        maximum=1000,
        only_with={"variant": ("balanced",)},
    )
    rate: float = option(
        0.0,
        "Size of the first Adam step, of values in [-1, 1]; 0 takes the variant's own, 0.1 for "
        "balanced and 0.03 for published.",
        minimum=0,
        maximum=1,
    )


def _mse(options: MseOptions, context: BuildContext) -> Mse:
    from .mse import Mse

    return Mse(options.strength)


def _increments(options: IncrementsOptions, context: BuildContext) -> Increments:
    from .increments import Increments

    return Increments(options.strength, options.base)


def _gradients(options: GradientsOptions, context: BuildContext) -> Gradients:
    from .gradients import Gradients

    return Gradients(**asdict(options))


def _ddfm_em(options: DdfmEmOptions, context: BuildContext) -> DdfmEm | DdfmPaper | DdfmReleased:
    from .ddfm_em import DdfmEm
    from .ddfm_published import DdfmPaper, DdfmReleased

    psi, eta, iterations = _OWN[options.variant]
    psi = psi if options.psi < 0 else options.psi
    eta, iterations = options.eta or eta, options.iterations or iterations
    if options.variant == "symmetric":
        return DdfmEm(options.strength, psi, eta, iterations)
    if options.variant == "paper":
        return DdfmPaper(options.strength, psi, eta, iterations, options.scales)
    return DdfmReleased(options.strength, psi, eta, iterations)


def _condition_bank(
    options: ConditionBankOptions, context: BuildContext
) -> ConditionBank | CcfPublished:
    from .ccf_published import CcfPublished
    from .condition_bank import ConditionBank

    if options.variant == "published":
        return CcfPublished(options.rate or 0.03)
    return ConditionBank(options.strength, options.iterations, options.rate or 0.1)


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
        Component(
            "gradients",
            "fuse gradients, and the brightness that they leave open from a base image",
            _gradients,
            GradientsOptions,
            traits,
        ),
        Component(
            "ddfm-em",
            "weighted l1 distance and gradients of the sources, by DDFM's EM",
            _ddfm_em,
            DdfmEmOptions,
            traits,
        ),
        Component(
            "condition-bank",
            "a step towards the strongest of CCF's eight conditions",
            _condition_bank,
            ConditionBankOptions,
            traits,
        ),
    ]
