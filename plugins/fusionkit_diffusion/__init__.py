"""First-party plugin: diffusion priors. So far one, exact and without weights: ``gaussian``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fusionkit import BuildContext, Component, NoiseEstimator, hookimpl, option

if TYPE_CHECKING:
    from .gaussian import GaussianEstimator


@dataclass(frozen=True)
class GaussianOptions:
    """Options of the ``gaussian`` estimator."""

    exponent: float = option(
        2.0, "p of the 1/f^p power spectrum; natural images have about 2.", minimum=0, maximum=4
    )
    deviation: float = option(
        0.5, "Standard deviation of a pixel, of values in [-1, 1].", above=0, maximum=2
    )
    correlation: float = option(
        256.0, "Length in pixels beyond which the spectrum is flat.", minimum=1
    )
    border: Literal["mirror", "periodic"] = option(
        "mirror", "How the image continues past its border."
    )
    channels: int = option(1, "Channels, 1 or 3; treated independently.", choices=(1, 3))


def _gaussian(options: GaussianOptions, context: BuildContext) -> GaussianEstimator:
    from .gaussian import GaussianEstimator

    return GaussianEstimator(
        options.exponent,
        options.deviation,
        options.correlation,
        options.border,
        options.channels,
    )


@hookimpl
def fusionkit_noise_estimators() -> Iterable[Component[NoiseEstimator]]:
    """Return the estimators of this plugin."""
    return [
        Component(
            "gaussian",
            "exact closed-form prior with a 1/f^p power spectrum; no weights, real but weak",
            _gaussian,
            GaussianOptions,
        )
    ]
