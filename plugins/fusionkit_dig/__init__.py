"""First-party plugin: DIG, guidance weighted by diffusion information gains (arXiv 2503.18627)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fusionkit import (
    ESTIMATOR,
    SOURCE_SYMMETRIC,
    BuildContext,
    Component,
    NoiseEstimator,
    PluginError,
    UsageError,
    Weighting,
    hookimpl,
    option,
)

if TYPE_CHECKING:
    from .dig import Dig, Prior
    from .residual import DigResidual


@dataclass(frozen=True)
class DigOptions:
    """Options of the ``dig`` weighting."""

    loss: Literal["l2", "l1", "gradient", "ssim"] = option(
        "gradient", "What measures how far a source's clean estimate is from the source."
    )
    granularity: Literal["pixel", "region", "image"] = option(
        "region", "One gain per pixel, per window around each pixel, or per image."
    )
    window: int = option(
        11,
        "Side in pixels of a region, odd.",
        minimum=1,
        maximum=9999,
        only_with={"granularity": ("region",)},
    )
    dynamic: bool = option(
        True, "New weights as denoising proceeds; no: their gain over all steps."
    )
    activation: Literal["power", "softmax", "hard"] = option(
        "power",
        "From gains to weights: gain^scale, exp(scale * gain), or all to the largest. "
        "softmax of l2 gains with scale 1 is the published formula.",
    )
    scale: float = option(
        16.0,
        "How sharply the weights follow the gains.",
        above=0,
        maximum=1e6,
        only_with={"activation": ("power", "softmax")},
    )
    consistency: int = option(
        1,
        "Side in pixels of a window, odd, within which neighbours are made to agree on a source; "
        "1 for none.",
        minimum=1,
    )
    stride: int = option(
        2, "S: renew the gains every S steps.", minimum=1, only_with={"dynamic": (True,)}
    )
    resolution: int = option(
        0,
        "Shrink the sources by this factor for the gains; 0: full size where the objective needs "
        "the same estimates, so that they cost nothing, and 2 elsewhere.",
        choices=(0, 1, 2, 4, 8),
    )
    prior: str = option(
        "",
        "Noise estimator that gains are of, by name, with its defaults; empty: the run's own.",
        gives_way_to="estimator",
    )

    def __post_init__(self) -> None:
        _require_odd(self.window)
        _require_odd(self.consistency, "consistency")


@dataclass(frozen=True)
class DigResidualOptions:
    """Options of the ``dig-residual`` weighting."""

    mode: Literal["residual", "gain"] = option(
        "residual",
        "What counts: what the fused image's clean estimate still lacks of a source, or what "
        "it gained of it since the weights were renewed last.",
    )
    loss: Literal["l2", "l1", "gradient", "ssim"] = option(
        "gradient", "What measures how far the fused image's clean estimate is from a source."
    )
    granularity: Literal["pixel", "region", "image"] = option(
        "region", "One value per pixel, per window around each pixel, or per image."
    )
    window: int = option(
        11,
        "Side in pixels of a region, odd.",
        minimum=1,
        maximum=9999,
        only_with={"granularity": ("region",)},
    )
    activation: Literal["power", "softmax", "hard"] = option(
        "power",
        "From values to weights: value^scale, exp(scale * value), or all to the largest.",
    )
    scale: float = option(
        4.0,
        "How sharply the weights follow.",
        above=0,
        maximum=1e6,
        only_with={"activation": ("power", "softmax")},
    )
    stride: int = option(1, "S: renew the weights every S steps.", minimum=1)

    def __post_init__(self) -> None:
        _require_odd(self.window)


def _require_odd(window: int, name: str = "window") -> None:
    if window % 2 == 0:
        raise ValueError(f"{name} must be odd, not {window}")


def _window(options: DigOptions | DigResidualOptions) -> int:
    return {"pixel": 1, "region": options.window, "image": 0}[options.granularity]


def _dig(options: DigOptions, context: BuildContext) -> Dig:
    from .dig import Dig

    return Dig(
        loss=options.loss,
        window=_window(options),
        dynamic=options.dynamic,
        activation=options.activation,
        scale=options.scale,
        consistency=options.consistency,
        stride=options.stride,
        resolution=options.resolution,
        prior=_prior(options.prior, context),
    )


def _prior(name: str, context: BuildContext) -> Prior | None:
    """Build the noise estimator of a name; None for the run's own."""
    from .dig import Prior

    if not name:
        return None
    if context.registry is None:
        raise UsageError(f"--weighting.prior {name}: it is found among plugins: compose a pipeline")
    provided = context.registry.find(ESTIMATOR, name)
    options = provided.make_options({})
    provided.refuse_unsaid(options)
    built = provided.build(options, context)
    if not isinstance(built, NoiseEstimator):
        raise PluginError(
            f"{provided.label} built a {type(built).__name__}, which does not do what "
            "fusionkit.NoiseEstimator says"
        )
    return Prior(built, provided.label)


def _dig_residual(options: DigResidualOptions, context: BuildContext) -> DigResidual:
    from .residual import DigResidual

    return DigResidual(
        mode=options.mode,
        loss=options.loss,
        window=_window(options),
        activation=options.activation,
        scale=options.scale,
        stride=options.stride,
    )


@hookimpl
def fusionkit_weightings() -> Iterable[Component[Weighting]]:
    """Return the weightings of this plugin."""
    return [
        Component(
            "dig",
            "diffusion information gains: weigh each source by what denoising recovers of it",
            _dig,
            DigOptions,
            frozenset({SOURCE_SYMMETRIC}),
        ),
        Component(
            "dig-residual",
            "gains on the fused image: weigh each source by what it still lacks, or gained, of it",
            _dig_residual,
            DigResidualOptions,
            frozenset({SOURCE_SYMMETRIC}),
        ),
    ]
