"""Measuring against the sources and against the truth, side by side."""

from __future__ import annotations

from dataclasses import replace

from fusionkit.contract.registry import Registry
from fusionkit.evaluation.measure import TRUTH
from fusionkit.evaluation.meter import Meter
from fusionkit.evaluation.presets import metric_names
from fusionkit.host.fingerprint import combined

from ..photographs import Pixels
from ..quality.scenes import Made
from ..quality.views import AgainstSources, AgainstTruth, Luma, Measured


class AgainstBoth:
    """Metrics of fusion on the sources; PSNR, PSNR after the best gain and offset, SSIM on truth.

    The columns against the truth are called ``truth-psnr`` and so on.
    """

    def __init__(self, registry: Registry, names: tuple[str, ...] = ()) -> None:
        metrics = Meter(names or metric_names("all", registry), registry).metrics
        fusion = [name for name, metric in metrics.items() if metric.sources != 1]
        self._sources = AgainstSources(fusion, registry)
        self._truth = AgainstTruth(registry, fit=True)
        self.key = "both"
        self.code = combined(self._sources.code, self._truth.code)
        self.columns = [
            *self._sources.columns,
            *(replace(column, name=TRUTH + column.name) for column in self._truth.columns),
        ]

    def measure(self, fused: Pixels, made: Made, reference: Luma | None) -> Measured:
        """Measure the luma of a fused image."""
        values, problems = self._sources.measure(fused, made, reference)
        against, failed = self._truth.measure(fused, made, reference)
        values |= {TRUTH + name: value for name, value in against.items()}
        problems |= {TRUTH + name: why for name, why in failed.items()}
        return values, problems
