"""First-party plugin: observations, how a source was measured that is no clean image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fusionkit import BuildContext, Component, Observation, hookimpl, option

if TYPE_CHECKING:
    from .blur import Blur
    from .downsample import Downsample
    from .mask import Mask
    from .noise import Noise


@dataclass(frozen=True)
class DownsampleOptions:
    """Options of the ``downsample`` observation."""

    factor: float = option(
        0.0, "How much smaller it is, 1 or more, 1.6 too; 0 is what the sizes say.", minimum=0
    )
    kernel: Literal["box", "gaussian", "point"] = option(
        "box",
        "What a pixel sees: the mean over its area, a Gaussian, or a point (after a blur, of the "
        "fused grid).",
    )
    sigma: float = option(
        0.5,
        "Standard deviation of the Gaussian, in pixels of the source.",
        above=0,
        maximum=8,
        only_with={"kernel": ("gaussian",)},
    )
    psf: Path | None = option(
        None, "What a pixel sees, as a point spread function on the fused grid; for kernel point."
    )

    def __post_init__(self) -> None:
        if 0 < self.factor < 1:
            raise ValueError(f"factor is 1 or more, or 0, not {self.factor:g}")
        if self.psf is not None and self.kernel != "point":
            raise ValueError("psf says what a pixel sees: with kernel point, no other")


@dataclass(frozen=True)
class BlurOptions:
    """Options of the ``blur`` observation."""

    sigma: float = option(
        0.0, "Standard deviation of a Gaussian, in pixels of the fused grid.", minimum=0, maximum=64
    )
    disc: float = option(0.0, "Radius of a disc: out of focus.", minimum=0, maximum=64)
    motion: float = option(0.0, "Length of a straight line: motion.", minimum=0, maximum=256)
    angle: float = option(
        0.0, "Its direction, in degrees, from the right anticlockwise.", minimum=-360, maximum=360
    )
    psf: Path | None = option(
        None,
        "A point spread function of odd sides: floating-point values that sum to 1, or an image "
        "of whole numbers, of which the shape counts.",
    )

    def __post_init__(self) -> None:
        given = [self.sigma > 0, self.disc > 0, self.motion > 0, self.psf is not None]
        if sum(given) > 1:
            raise ValueError("a blur is one of sigma, disc, motion and psf: chain several blurs")


@dataclass(frozen=True)
class MaskOptions:
    """Options of the ``mask`` observation."""

    where: Literal["auto", "missing", "clipped", "file"] = option(
        "auto",
        "Dead pixels, rows and columns (auto); NaN, no-data values and transparent pixels "
        "(missing); the least and greatest value (clipped); or what a file says.",
    )
    file: Path | None = option(
        None, "An image of the source's size: 0 where it says nothing, its greatest value for all."
    )


@dataclass(frozen=True)
class NoiseOptions:
    """Options of the ``noise`` observation."""

    sigma: str = option(
        "auto", "Standard deviation, of 255; auto: estimated from the source, unless gain is given."
    )
    gain: float = option(
        0.0,
        "Of noise that grows with brightness: its variance is sigma² + gain v, v from 0 to 255.",
        minimum=0,
        maximum=255,
    )

    def __post_init__(self) -> None:
        if self.sigma == "auto":
            return
        try:
            fits = 0 <= float(self.sigma) <= 255
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(f"sigma is auto, or a number from 0 to 255, not {self.sigma!r}")


def _downsample(options: DownsampleOptions, context: BuildContext) -> Downsample:
    from .downsample import Downsample
    from .psf import read_psf

    psf = None if options.psf is None else read_psf(options.psf)
    return Downsample(options.factor, options.kernel, options.sigma, psf)


def _blur(options: BlurOptions, context: BuildContext) -> Blur:
    from .blur import Blur
    from .psf import disc, gaussian, line, read_psf

    if options.psf is not None:
        return Blur(read_psf(options.psf))
    if options.disc > 0:
        return Blur(disc(options.disc))
    if options.motion > 0:
        return Blur(line(options.motion, options.angle))
    return Blur(gaussian(options.sigma))


def _mask(options: MaskOptions, context: BuildContext) -> Mask:
    from .mask import Mask

    return Mask(options.where, options.file)


def _noise(options: NoiseOptions, context: BuildContext) -> Noise:
    from .noise import Noise

    return Noise(None if options.sigma == "auto" else float(options.sigma), options.gain)


@hookimpl
def fusionkit_observations() -> Iterable[Component[Observation]]:
    """Return the observations of this plugin."""
    return [
        Component("downsample", "fewer pixels than the scene", _downsample, DownsampleOptions),
        Component("blur", "out of focus, moved, or by a given PSF", _blur, BlurOptions),
        Component("mask", "pixels that say nothing", _mask, MaskOptions),
        Component("noise", "Gaussian or Poisson-Gaussian noise", _noise, NoiseOptions),
    ]
