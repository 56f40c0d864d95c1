"""Which metrics are looked at for which task, and the columns that methods are ranked by."""

from __future__ import annotations

from ..components import METRIC, Registry
from ..errors import UsageError
from ..options import suggest

_FUSION = ("en", "sd", "sf", "ag", "mi", "scd", "vif", "qabf", "ssim", "cc", "nabf")

PRESETS: dict[str, tuple[str, ...]] = {
    "infrared-visible": _FUSION,
    "medical": _FUSION,
    "multi-exposure": ("mef-ssim", "qabf", "vif", "sd", "ag", "ssim"),
    "multi-focus": ("qabf", "vif", "ssim", "qw", "qcv", "mi"),
}
"""Metric names by task; ``all`` is every metric that is installed."""

REFERENCE_METRICS = ("psnr", "ssim")
"""What is measured against a ground truth, where there is one."""

RANKINGS: dict[str, tuple[str, ...]] = {
    "rank9": ("en", "sd", "sf", "ag", "mi", "scd", "vif", "qabf", "ssim"),
    "rank5": ("mi", "scd", "vif", "qabf", "ssim"),
}
"""Mean ranks; the second leaves out what sharpening and contrast alone can buy."""


def chosen_metrics(listed: str | None, preset: str, registry: Registry) -> tuple[str, ...]:
    """Return the metrics listed (``a,b``), or those of a preset where none are.

    Raises
    ------
    UsageError
        There is no such preset, or no such metric.
    """
    if listed:
        names = tuple(name.strip() for name in listed.split(","))
    else:
        installed = tuple(provided.component.name for provided in registry.all(METRIC))
        names = metric_names(preset, installed)
    for name in names:
        registry.find(METRIC, name)
    return names


def metric_names(preset: str, installed: tuple[str, ...]) -> tuple[str, ...]:
    """Return the metrics of a preset, ``all`` being every one installed.

    Raises
    ------
    UsageError
        There is no such preset.
    """
    if preset == "all":
        return installed
    if preset not in PRESETS:
        known = [*PRESETS, "all"]
        hint = suggest(preset, known) or f" There are {', '.join(known)}."
        raise UsageError(f"unknown preset {preset!r}.{hint}")
    return PRESETS[preset]
