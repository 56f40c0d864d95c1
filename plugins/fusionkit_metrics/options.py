"""The options of the metrics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fusionkit import option


@dataclass(frozen=True)
class QabfOptions:
    """Options of the ``qabf`` metric."""

    orientation: Literal["paper", "wrapped"] = option(
        "paper",
        "How orientations are compared: as published, where the two sides of a vertical edge's "
        "branch cut are worst; or wrapped, where they are equal.",
    )


@dataclass(frozen=True)
class StretchOptions:
    """Options of the ``qcv`` and ``qcb`` metrics, and of ``mi``."""

    stretch: bool = option(
        False, "Stretch each image to 0-255 first, as Liu's toolbox does; else as they are."
    )


@dataclass(frozen=True)
class InformationOptions(StretchOptions):
    """Options of the ``mi`` metric."""

    logarithm: Literal["bits", "nats"] = option("bits", "Of base 2, or the natural one.")


@dataclass(frozen=True)
class SimilarityOptions:
    """Options of the ``ssim`` metric."""

    window: Literal["gaussian", "uniform"] = option(
        "gaussian", "Gaussian 11 x 11, as published; or 7 x 7 alike, as scikit-image by default."
    )
    span: float = option(
        255.0,
        "The range of values that the constants are made for; 2 as scikit-image had.",
        above=0,
    )


@dataclass(frozen=True)
class ErrorOptions:
    """Options of the ``rmse`` metric."""

    error: Literal["mean-square", "root-sum"] = option(
        "mean-square",
        "Mean squared error; or the root of the sum by the number of pixels, as in VIFB.",
    )


@dataclass(frozen=True)
class PeakOptions(ErrorOptions):
    """Options of the ``psnr`` metric."""

    peak: Literal["range", "fused"] = option(
        "range", "255; or the largest value of the fused image."
    )


@dataclass(frozen=True)
class FrequencyOptions:
    """Options of the ``sf`` metric."""

    divisor: Literal["differences", "pixels"] = option(
        "differences", "What sums are divided by: how many differences there are, or all pixels."
    )


@dataclass(frozen=True)
class GradientOptions:
    """Options of the ``ag`` metric."""

    divisor: Literal["pixels", "intervals"] = option(
        "pixels", "What the sum is divided by: H W, or (H - 1) (W - 1), as in VIFB."
    )


@dataclass(frozen=True)
class TargetOptions:
    """Options of the ``target-contrast`` metric."""

    source: int = option(1, "The source that has the targets, counted from 1.", minimum=1)
    polarity: Literal["hot", "cold", "both"] = option(
        "hot", "Targets are brighter than their surround, darker, or either."
    )
    boxes: tuple[int, ...] = option(
        (),
        "Targets by hand instead of those found: x, y, width, height of each, in pixels.",
        minimum=0,
    )

    def __post_init__(self) -> None:
        if len(self.boxes) % 4 or 0 in (*self.boxes[2::4], *self.boxes[3::4]):
            raise ValueError(
                "boxes are four whole numbers each: x, y, width and height, no width 0"
            )


@dataclass(frozen=True)
class CrossEntropyOptions:
    """Options of the ``ce`` metric."""

    absent: Literal["half", "skip"] = option(
        "half",
        "What a level counts that the fused image lacks: half a pixel, or nothing, as in VIFB.",
    )


@dataclass(frozen=True)
class ErgasOptions:
    """Options of the ``ergas`` metric."""

    ratio: float = option(
        1.0,
        "Side of a pixel of the sharp source by that of the source with channels: 0.25 for most "
        "satellites.",
        above=0,
        maximum=1,
    )


@dataclass(frozen=True)
class QnrOptions:
    """Options of the ``qnr`` metric."""

    ratio: int = option(
        4,
        "How many pixels of the grey source one of the colour source spans.",
        minimum=1,
        maximum=64,
    )


@dataclass(frozen=True)
class NetworkOptions:
    """Options of the ``network`` metric."""

    network: Path | None = option(
        None,
        "The ONNX file: one image in, a score of the fused image; two, of it and what it is "
        "compared with.",
        required=True,
    )
    better: str = option("", "higher or lower, whichever is better of its scores.", required=True)
    values: Literal["unit", "signed"] = option(
        "unit", "What it takes black and white for: 0 and 1, or -1 and 1."
    )
    against: Literal["sources", "truth"] = option(
        "sources",
        "What the fused image is compared with, if two go in: each source, of which the mean is "
        "taken, or the ground truth.",
    )

    def __post_init__(self) -> None:
        if self.better not in ("", "higher", "lower"):
            raise ValueError(f"better is higher or lower, not {self.better!r}")
