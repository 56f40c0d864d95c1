"""First-party plugin: the metrics of image fusion, each with its convention.

All are computed in float64 on luma in 0-255 that is not rounded. A sum over
sources says so in its summary: it grows with the number of sources.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any, Literal

from fusionkit import SOURCE_SYMMETRIC, BuildContext, Component, Metric, NoOptions, hookimpl, option


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


def _built(module: str, name: str) -> Callable[[Any, BuildContext], Metric]:
    """Build a metric of its options; its module, and with it torch, is imported only then."""

    def build(options: Any, context: BuildContext) -> Metric:
        cls = getattr(importlib.import_module(f".{module}", __name__), name)
        metric: Metric = cls(**{each.name: getattr(options, each.name) for each in fields(options)})
        return metric

    return build


# Name, summary, module and class.
_PLAIN = (
    ("en", "entropy of the fused image, bits", "information", "Entropy"),
    ("sd", "standard deviation of the fused image", "statistics", "StandardDeviation"),
    ("ei", "edge intensity of the fused image, Sobel", "statistics", "EdgeIntensity"),
    (
        "nmi",
        "normalised mutual information (Hossny), sum over sources",
        "information",
        "NormalisedMutualInformation",
    ),
    ("cc", "correlation, mean over sources", "statistics", "Correlation"),
    (
        "scd",
        "sum of the correlations of differences (two sources)",
        "statistics",
        "SumOfCorrelations",
    ),
    ("mse", "mean squared error, mean over sources", "statistics", "MeanSquaredError"),
    ("mef-ssim", "structural similarity for multi-exposure fusion", "mef", "MultiExposure"),
    ("vif", "visual information fidelity, pixels, sum over sources", "vif", "VisualInformation"),
    (
        "fmi-pixel",
        "feature mutual information of pixels, mean over sources",
        "fmi",
        "FeatureMutualInformation",
    ),
    (
        "fmi-wavelet",
        "feature mutual information of wavelet bands, mean over sources",
        "fmi",
        "WaveletMutualInformation",
    ),
    ("nabf", "artefacts: edges no source has (two sources)", "edges", "Artefacts"),
    ("qy", "Yang's similarity (two sources)", "similarity", "Yang"),
    ("qw", "Piella's quality, windows weighted by saliency", "similarity", "PiellaWeighted"),
    ("qsf", "error of the spatial frequency (Zheng)", "statistics", "SpatialFrequencyError"),
    (
        "ms-ssim",
        "structural similarity of five scales, sum over sources",
        "multiscale",
        "MultiScale",
    ),
    (
        "mef-ssimc",
        "structural similarity for exposures in colour",
        "colours",
        "MultiExposureColour",
    ),
    (
        "gmsd",
        "deviation of gradient similarity, against a ground truth",
        "multiscale",
        "GradientDeviation",
    ),
    ("sam", "spectral angle in degrees, against a ground truth", "colours", "SpectralAngle"),
    ("qe", "Piella's quality of the images times that of edges", "similarity", "PiellaEdges"),
)


@hookimpl
def fusionkit_metrics() -> Iterable[Component[Metric]]:
    """Return the metrics of this plugin."""
    symmetric = frozenset({SOURCE_SYMMETRIC})
    plain = [
        Component(name, summary, _built(module, cls), NoOptions, symmetric)
        for name, summary, module, cls in _PLAIN
    ]
    return [
        *plain,
        Component(
            "sf",
            "spatial frequency of the fused image",
            _built("statistics", "SpatialFrequency"),
            FrequencyOptions,
            symmetric,
        ),
        Component(
            "ag",
            "average gradient of the fused image",
            _built("statistics", "AverageGradient"),
            GradientOptions,
            symmetric,
        ),
        Component(
            "mi",
            "mutual information, sum over sources",
            _built("information", "MutualInformation"),
            InformationOptions,
            symmetric,
        ),
        Component(
            "psnr",
            "peak signal to noise, dB, of the mean error",
            _built("statistics", "PeakSignalToNoise"),
            PeakOptions,
            symmetric,
        ),
        Component(
            "rmse",
            "root mean squared error, mean over sources",
            _built("statistics", "RootMeanSquaredError"),
            ErrorOptions,
            symmetric,
        ),
        Component(
            "ssim",
            "structural similarity, sum over sources",
            _built("similarity", "StructuralSimilarity"),
            SimilarityOptions,
            symmetric,
        ),
        Component(
            "qabf",
            "how the edges of the sources are kept (Xydeas-Petrovic)",
            _built("edges", "EdgeTransfer"),
            QabfOptions,
            symmetric,
        ),
        Component(
            "qcv",
            "perceived difference by regions (Chen-Varshney, two sources)",
            _built("perceptual", "ChenVarshney"),
            StretchOptions,
            symmetric,
        ),
        Component(
            "qcb",
            "perceived contrast preserved (Chen-Blum, two sources)",
            _built("perceptual", "ChenBlum"),
            StretchOptions,
            symmetric,
        ),
        Component(
            "ce",
            "cross entropy of the histograms, bits, mean over sources",
            _built("information", "CrossEntropy"),
            CrossEntropyOptions,
            symmetric,
        ),
        Component(
            "ergas",
            "relative error of all channels, against a ground truth",
            _built("colours", "RelativeError"),
            ErgasOptions,
            symmetric,
        ),
        Component(
            "qnr",
            "quality of a sharpened colour image without a truth (two sources, one of them grey)",
            _built("colours", "NoReference"),
            QnrOptions,
            symmetric,
        ),
        Component(
            "target-contrast",
            "whether hot or cold targets keep their contrast to what surrounds them",
            _built("targets", "TargetContrast"),
            TargetOptions,
        ),
    ]
