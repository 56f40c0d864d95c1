"""How a fused image is measured: against the truth, its sources, or their foreground."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from fusionkit.contract.registry import Registry
from fusionkit.evaluation.meter import Meter, ground_column
from fusionkit.evaluation.presets import REFERENCE_METRICS, own_metrics
from fusionkit.evaluation.scores import Column
from fusionkit.host.fingerprint import code_of_class, code_of_modules, combined
from fusionkit.ops.similarity import psnr

from ..photographs import Pixels, luma_of_pixels
from .scenes import Made

Luma = NDArray[np.float64]
Measured = tuple[dict[str, float], dict[str, str]]
"""Values and problems, by column."""

PSNR_FIT = Column(
    "psnr-fit", True, "dB, peak 255, after the gain and offset of the luma that fit the truth best"
)


class View(Protocol):
    """One way of measuring."""

    key: str
    code: str
    columns: list[Column]

    def measure(self, fused: Pixels, made: Made, reference: Luma | None) -> Measured:
        """Measure a fused image; ``reference`` is the truth, where there is one."""
        ...


class AgainstTruth:
    """PSNR and SSIM against the truth; with ``fit``, PSNR after the best gain and offset too."""

    def __init__(self, registry: Registry, fit: bool = False) -> None:
        self._meter = Meter(own_metrics(REFERENCE_METRICS, registry), registry)
        self._fit = fit
        self.key = "truth"
        self.code = _code(self._meter)
        self.columns = [*self._meter.columns, *([PSNR_FIT] if fit else [])]

    def measure(self, fused: Pixels, made: Made, reference: Luma | None) -> Measured:
        """Measure the luma of a fused image."""
        if reference is None:
            return {}, {self.key: "there is none"}
        luma = luma_of_pixels(fused)
        values, problems = self._meter.measure(
            torch.from_numpy(luma), torch.from_numpy(reference)[None]
        )
        values[PSNR_FIT.name] = psnr_after_fit(luma, reference)
        return values, problems


class AgainstSources:
    """Metrics of fusion; with ``foreground``, only where a source exceeds that grey level."""

    def __init__(
        self, names: Sequence[str], registry: Registry, foreground: float | None = None
    ) -> None:
        self._meter = Meter(names, registry)
        self._foreground = foreground
        self.key = "sources" if foreground is None else f"foreground {foreground:g}"
        self.code = _code(self._meter)
        self.columns = self._meter.columns
        if foreground is not None:
            self.columns.append(ground_column(foreground))

    def measure(self, fused: Pixels, made: Made, reference: Luma | None) -> Measured:
        """Measure the luma of a fused image against that of its sources."""
        luma = torch.from_numpy(luma_of_pixels(fused))
        sources = torch.from_numpy(np.stack([luma_of_pixels(source) for source in made.sources]))
        if self._foreground is None:
            return self._meter.measure(luma, sources)
        return self._meter.measure_foreground(luma, sources, self._foreground)


def psnr_after_fit(luma: Luma, truth: Luma) -> float:
    """Return the PSNR of g F + o, g >= 0 and o by least squares; at most 100 dB."""
    centred, wanted = luma - luma.mean(), truth - truth.mean()
    power = float((centred**2).mean())
    gain = max(0.0, float((centred * wanted).mean()) / power) if power > 0 else 0.0
    error = ((gain * centred - wanted) ** 2).mean()
    return float(psnr(torch.as_tensor(error), 255))


def _code(meter: Meter) -> str:
    own = code_of_modules((__name__, "fusionkit.evaluation.measure"))
    return combined(own, *{code_of_class(type(metric)) for metric in meter.metrics.values()})
