"""First-party plugin: the metrics of image fusion, each with its convention.

All are computed in float64 on luma in 0-255 that is not rounded. A sum over
sources says so in its summary: it grows with the number of sources.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

from fusionkit import SOURCE_SYMMETRIC, BuildContext, Component, Metric, NoOptions, hookimpl

from .options import (
    CrossEntropyOptions,
    ErgasOptions,
    ErrorOptions,
    FrequencyOptions,
    GradientOptions,
    InformationOptions,
    NetworkOptions,
    PeakOptions,
    QabfOptions,
    QnrOptions,
    SimilarityOptions,
    StretchOptions,
    TargetOptions,
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
        Component(
            "network",
            "a learned metric: a network of yours, from an ONNX file",
            _built("network", "Network"),
            NetworkOptions,
            symmetric,
        ),
    ]
