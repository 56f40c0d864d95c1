"""First-party plugin: diffusion priors.

``compact`` ships with its weights; ``gaussian`` is exact and needs none; ``adm`` and
``diffusers`` are pretrained networks from local files (docs/priors.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fusionkit import BuildContext, Component, NoiseEstimator, hookimpl, option

if TYPE_CHECKING:
    from .adm import ADMEstimator
    from .compact import CompactEstimator
    from .gaussian import GaussianEstimator
    from .unet2d import UNet2DEstimator

COMPACT = Path(__file__).with_name("compact.safetensors")
COMPACT_SHA256 = "750f9c8d3beb2396c80c1bafec82b1dbc3154a6beae0b8acee3b5154539e0a2b"


@dataclass(frozen=True)
class CompactOptions:
    """Options of the ``compact`` estimator."""

    checkpoint: Path | None = option(
        None, "Weights of your own training; none for those that ship."
    )
    sha256: str = option("", "The SHA-256 that your file must have; empty for any.")

    def __post_init__(self) -> None:
        _check_sha256(self.sha256)
        if self.sha256 and not self.checkpoint:
            raise ValueError("sha256 is that of a checkpoint of your own: give its path too")


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


@dataclass(frozen=True)
class ADMOptions:
    """Options of the ``adm`` estimator."""

    checkpoint: Path | None = option(
        None,
        "The .pt or .safetensors file, such as the public 256x256_diffusion_uncond.pt, linked from "
        "the README of the GitHub repository openai/guided-diffusion (MIT licence).",
        required=True,
    )
    sha256: str = option("", "The SHA-256 that the file must have; empty for any.")
    head_channels: int = option(
        64, "Channels of an attention head, which the file does not tell.", minimum=1
    )
    attention_order: Literal["legacy", "new"] = option(
        "legacy", "Layout of attention's channels, which the file does not tell either."
    )

    def __post_init__(self) -> None:
        _check_sha256(self.sha256)


@dataclass(frozen=True)
class DiffusersOptions:
    """Options of the ``diffusers`` estimator."""

    folder: Path | None = option(
        None,
        "Local folder of a UNet2DModel or its pipeline, such as a downloaded copy of "
        "google/ddpm-celebahq-256 (Apache-2.0 licence).",
        required=True,
    )
    sha256: str = option("", "The SHA-256 that its file of weights must have; empty for any.")

    def __post_init__(self) -> None:
        _check_sha256(self.sha256)


def _check_sha256(text: str) -> None:
    if text and not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise ValueError(f"sha256 is 64 hexadecimal digits, not {text!r}")


def _compact(options: CompactOptions, context: BuildContext) -> CompactEstimator:
    from .compact import CompactEstimator

    return CompactEstimator(
        options.checkpoint or COMPACT,
        sha256=options.sha256 if options.checkpoint else COMPACT_SHA256,
        device=context.device,
        precision=context.precision,
        compiled=context.compile,
    )


def _gaussian(options: GaussianOptions, context: BuildContext) -> GaussianEstimator:
    from .gaussian import GaussianEstimator

    return GaussianEstimator(
        options.exponent,
        options.deviation,
        options.correlation,
        options.border,
    )


def _adm(options: ADMOptions, context: BuildContext) -> ADMEstimator:
    from .adm import ADMEstimator

    assert options.checkpoint is not None  # since it is required
    return ADMEstimator(
        options.checkpoint,
        sha256=options.sha256,
        head_channels=options.head_channels,
        attention_order=options.attention_order,
        device=context.device,
        precision=context.precision,
    )


def _diffusers(options: DiffusersOptions, context: BuildContext) -> UNet2DEstimator:
    from .unet2d import UNet2DEstimator

    assert options.folder is not None  # since it is required
    return UNet2DEstimator(
        options.folder,
        sha256=options.sha256,
        device=context.device,
        precision=context.precision,
    )


@hookimpl
def fusionkit_noise_estimators() -> Iterable[Component[NoiseEstimator]]:
    """Return the estimators of this plugin."""
    return [
        Component(
            "compact",
            "our own small network for photographs, grey and thermal images; ships with weights",
            _compact,
            CompactOptions,
        ),
        Component(
            "gaussian",
            "exact closed-form prior with a 1/f^p power spectrum; no weights, real but weak",
            _gaussian,
            GaussianOptions,
        ),
        Component(
            "adm",
            "OpenAI's guided-diffusion network (552.8 M for ImageNet 256), from a local checkpoint",
            _adm,
            ADMOptions,
        ),
        Component(
            "diffusers",
            "an unconditional UNet2DModel of the diffusers library, from a local folder",
            _diffusers,
            DiffusersOptions,
        ),
    ]
