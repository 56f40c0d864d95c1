"""First-party plugin: what happens to sources before they are fused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fusionkit import BuildContext, Component, Preparation, Registry, hookimpl, option

if TYPE_CHECKING:
    from .match import Match
    from .noise import NoiseOff
    from .radiance import Radiance


@dataclass(frozen=True)
class NoiseOptions:
    """Options of the preparation ``noise``."""

    levels: tuple[str, ...] = option(
        (),
        "Noise of a source to take off first, K:SIGMA, of 255: 2:10; auto: estimate every other "
        "source's; may be repeated.",
    )

    def __post_init__(self) -> None:
        from .levels import parse_level

        named = [parse_level(text)[0] for text in self.levels if text != "auto"]
        for source in named:
            if named.count(source) > 1:
                raise ValueError(f"--noise: source {source} is given twice")

    def check_sources(self, count: int, registry: Registry) -> None:
        """Refuse the level of a source that there is not."""
        from .levels import levels_of

        levels_of(self.levels, count)


def _noise(options: NoiseOptions, context: BuildContext) -> NoiseOff:
    from .noise import NoiseOff

    return NoiseOff(options.levels)


@dataclass(frozen=True)
class MatchOptions:
    """Options of the preparation ``match``."""

    mode: Literal["auto", "none"] = option(
        "auto",
        "auto: frames of a focus stack that are clearly brighter, darker or of another white "
        "balance are made like one of them.",
    )


def _match(options: MatchOptions, context: BuildContext) -> Match:
    from .match import Match

    return Match(options.mode)


@dataclass(frozen=True)
class RadianceOptions:
    """Options of the preparation ``radiance``."""

    mode: Literal["auto", "none"] = option(
        "auto",
        "auto: a bracket becomes one picture of its light, by the ratios of exposures, with what "
        "moved as in the frame in the middle.",
    )
    curve: Literal["auto", "srgb", "linear", "gamma"] = option(
        "auto",
        "How the camera codes light: srgb, unless frames clearly tell a curve of their own; srgb; "
        "not at all; or by a power.",
    )
    gamma: float = option(
        2.2,
        "The power: light is code^gamma.",
        minimum=0.1,
        maximum=10,
        only_with={"curve": ("gamma",)},
    )
    still: bool = option(False, "Nothing moves: no frame is left out anywhere.")


def _radiance(options: RadianceOptions, context: BuildContext) -> Radiance:
    from .radiance import Radiance
    from .response import Response

    curves = {
        "auto": None,
        "srgb": Response(),
        "linear": Response(gamma=1.0),
        "gamma": Response(gamma=options.gamma),
    }
    return Radiance(options.mode, curves[options.curve], options.still)


@hookimpl
def fusionkit_preparations() -> Iterable[Component[Preparation]]:
    """Return the preparations of this plugin."""
    return [
        Component(
            "noise",
            "take noise off of sources, by the prior and by what the other sources show",
            _noise,
            NoiseOptions,
        ),
        Component("match", "make frames equally bright, and of one white", _match, MatchOptions),
        Component(
            "radiance",
            "fuse the light of a bracket, by its exposures: one picture",
            _radiance,
            RadianceOptions,
        ),
    ]
