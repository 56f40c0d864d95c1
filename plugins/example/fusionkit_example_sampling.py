"""A second plugin of the package: the prior ``wiener``, the preparation ``destripe``, and more.

One entry point is one plugin; a package may have several.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fusionkit import (
    BaseObservation,
    BasePreparation,
    BuildContext,
    Component,
    Guide,
    Metric,
    NoiseEstimator,
    Observation,
    Preparation,
    Prepared,
    PriorAtHand,
    Run,
    Sampler,
    Sources,
    hookimpl,
    option,
)

if TYPE_CHECKING:
    from torch import Tensor

    from fusionkit import SampledStep


@dataclass(frozen=True)
class WienerOptions:
    """Options of the ``wiener`` prior."""

    window: int = option(7, "Side in pixels of the window of mean and variance, odd.", minimum=3)

    def __post_init__(self) -> None:
        if self.window % 2 == 0:
            raise ValueError(f"window must be odd, not {self.window}")


def _wiener(options: WienerOptions, context: BuildContext) -> NoiseEstimator:
    """Shrink each pixel towards the mean around it, by how much of the variance is noise.

    Lee, IEEE TPAMI 2, 165 (1980).
    """
    from fusionkit import box_mean, from_denoiser

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        mean = box_mean(x, options.window)
        variance = (box_mean(x.square(), options.window) - mean.square()).clamp(min=1e-12)
        kept = (1 - sigma.square().view(-1, 1, 1, 1) / variance).clamp(min=0)
        return mean + kept * (x - mean)

    # It knows any number of channels, and no range of values: [-1, 1] is as good as another.
    return from_denoiser(denoise, value_range=(-1, 1))


class Ancestral:
    """The sampler of DDPM (arXiv 2006.11239), in x = x0 + sigma n.

    With s = (sigma_{i+1} / sigma_i)²: x_{i+1} = f + s (x - f) + sigma_{i+1} sqrt(1 - s) z.
    """

    trajectory = True

    def sample(self, run: Run, guide: Guide) -> Iterator[SampledStep]:
        """Yield every step."""
        x = guide.start()
        for i in range(run.steps):
            done = guide(i, x, run.clean_estimate(x, i))
            f = done.corrected
            yield done
            share = (run.sigma[i + 1] / run.sigma[i]) ** 2
            fresh = run.sigma[i + 1] * (1 - share) ** 0.5
            x = f + share * (x - f) + fresh * run.noise("example/ancestral", i)


@dataclass(frozen=True)
class DimmedOptions:
    """Options of the ``dimmed`` observation."""

    gain: float = option(0.5, "What is left of the light.", above=0, maximum=1)


class Dimmed(BaseObservation):
    """A source behind a grey filter: y = g c. Its prox is the base's, by conjugate gradients."""

    def __init__(self, gain: float) -> None:
        self.gain = gain

    def A(self, c: Tensor) -> Tensor:  # noqa: N802 - the operator's name
        """Return g c."""
        return self.gain * c

    def adjoint(self, y: Tensor) -> Tensor:
        """Return g y."""
        return self.gain * y


@dataclass(frozen=True)
class DestripeOptions:
    """Options of the ``destripe`` preparation."""

    window: int = option(15, "Rows that a row's level is compared with, odd.", minimum=3)


class Destripe(BasePreparation):
    """Takes away what sets a row off from those around it, as in thermal cameras' line noise."""

    stage = "radiometry"

    def __init__(self, window: int) -> None:
        self.window = window

    def prepare(self, sources: Sources, prior: PriorAtHand) -> Prepared:
        """Take the offset of every row, from its mean around it, off of planes and colour."""
        import numpy as np
        from scipy.ndimage import uniform_filter1d

        rows = sources.planes.mean((1, 3))  # (K, H)
        offsets = (rows - uniform_filter1d(rows, self.window, mode="mirror")).astype(np.float32)
        planes = sources.planes - offsets[:, None, :, None]
        colour = {k: image - offsets[k, :, None, None] for k, image in sources.colour.items()}
        most = [round(float(each), 4) for each in abs(offsets).max(1)]
        return Prepared(replace(sources, planes=planes, colour=colour), {"most": most})


class Nearest:
    """How far the fused image is from the source that is nearest, pixel by pixel."""

    higher_is_better = False
    convention = "mean over pixels of min over sources of |difference|, of 255"
    sources = "any"
    bounds = (0.0, 255.0)

    def __call__(self, fused: Tensor, sources: Tensor) -> Tensor:
        """Return (B,)."""
        return (sources - fused).abs().amin(0).mean((1, 2, 3))


@hookimpl
def fusionkit_noise_estimators() -> Iterable[Component[NoiseEstimator]]:
    """Return the prior."""
    return [Component("wiener", "adaptive Wiener filter, no weights", _wiener, WienerOptions)]


@hookimpl
def fusionkit_samplers() -> Iterable[Component[Sampler]]:
    """Return the sampler."""
    return [Component("ancestral", "DDPM's own sampler", lambda options, context: Ancestral())]


@hookimpl
def fusionkit_observations() -> Iterable[Component[Observation]]:
    """Return the observation."""

    def build(options: DimmedOptions, context: BuildContext) -> Dimmed:
        return Dimmed(options.gain)

    return [Component("dimmed", "behind a grey filter", build, DimmedOptions)]


@hookimpl
def fusionkit_preparations() -> Iterable[Component[Preparation]]:
    """Return the preparation."""

    def build(options: DestripeOptions, context: BuildContext) -> Destripe:
        return Destripe(options.window)

    return [Component("destripe", "take line noise off", build, DestripeOptions)]


@hookimpl
def fusionkit_metrics() -> Iterable[Component[Metric]]:
    """Return the metric."""
    return [
        Component("nearest", "distance to the nearest source", lambda options, context: Nearest())
    ]
