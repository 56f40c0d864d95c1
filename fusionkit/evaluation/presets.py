"""Which metrics are looked at for which task, and the columns that methods are ranked by."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..contract.metric import METRIC
from ..contract.options import OptionSpec, specs, suggest
from ..contract.registry import Registry
from ..errors import UsageError
from ..host.saving import record_of
from ..recipes.finding import METRICS

_FUSION = ("en", "sd", "sf", "ag", "mi", "scd", "vif", "qabf", "ssim", "cc", "nabf")

PRESETS: dict[str, tuple[str, ...]] = {
    "infrared-visible": _FUSION,
    "medical": _FUSION,
    "multi-exposure": ("mef-ssim", "qabf", "vif", "sd", "ag", "ssim"),
    "multi-focus": ("qabf", "vif", "ssim", "qw", "qcv", "mi"),
}
"""Metric names by task; ``all`` is every metric that needs no file of yours."""

PLUGIN = "metrics"
"""The plugin of all that is named here."""

DEFAULT_PRESET = "infrared-visible"

REFERENCE_METRICS = ("psnr", "ssim")
"""What is measured against a ground truth, where there is one."""

TRIVIAL = ("mean", "max", "laplacian-max")
"""Fusions without any method (:mod:`.baselines`)."""

RANKINGS: dict[str, tuple[str, ...]] = {
    "rank9": ("en", "sd", "sf", "ag", "mi", "scd", "vif", "qabf", "ssim"),
    "rank5": ("mi", "scd", "vif", "qabf", "ssim"),
}
"""Mean ranks; the second leaves out what sharpening and contrast alone can buy."""


def source_names(count: int) -> list[str]:
    """Return what the rows of sources are called that are measured as if they were fused."""
    return [f"source {number}" for number in range(1, count + 1)]


def trivial_names(count: int) -> list[str]:
    """Return the rows that take no method: the trivial fusions, and each of ``count`` sources."""
    return [*TRIVIAL, *source_names(count)]


def chosen_metrics(
    listed: str | None,
    preset: str | None,
    registry: Registry,
    of_recipe: str | Sequence[str] = "",
) -> tuple[str, ...]:
    """Return the metrics of ``--metric`` and ``--preset``, or else those of a recipe.

    Parameters
    ----------
    listed
        ``a,b``: these instead of the default preset; with a preset, or a plus in front
        (``+a,b``), in addition to it.
    preset
        The name of a preset; None for the recipe's, or else the default.
    registry
        Where metrics are found.
    of_recipe
        The preset or the metrics that the recipe names, if it does.

    Raises
    ------
    UsageError
        There is no such preset, or no such metric.
    """
    names: tuple[str, ...] = ()
    if preset is not None or _adds(listed):
        if preset is None and not isinstance(of_recipe, str):
            names = tuple(of_recipe)
        else:
            names = metric_names(preset or str(of_recipe) or DEFAULT_PRESET, registry)
    if listed is not None:
        words = [word.strip() for word in listed.strip().removeprefix("+").split(",")]
        if not any(words):
            raise UsageError("--metric names no metric: --metric ssim,vif")
        names += tuple(word for word in words if word)
    for name in names:
        registry.find(METRIC, name)
    return tuple(dict.fromkeys(names))


def recorded_metrics(results: Iterable[str | os.PathLike[str]]) -> str | list[str]:
    """Return the preset or the metrics that all records beside some results name; else ``""``."""
    found = {json.dumps(record.get(METRICS, "")) for path in results if (record := record_of(path))}
    said: str | list[str] = json.loads(found.pop()) if len(found) == 1 else ""
    return said


def _adds(listed: str | None) -> bool:
    """Whether ``--metric`` adds to what is measured anyway."""
    return listed is None or listed.lstrip().startswith("+")


def told(of_recipe: str | Sequence[str], listed: str | None, preset: str | None) -> str:
    """Return how a person is told that a recipe's metrics are measured; empty if they are not."""
    if not of_recipe or preset is not None or not _adds(listed):
        return ""
    if isinstance(of_recipe, str):
        return f"measuring preset {of_recipe}, which the recipe names; --preset says another"
    return f"measuring {', '.join(of_recipe)}, which the recipe names; --metric says others"


def metric_options(
    given: Mapping[str, str], names: Sequence[str], registry: Registry
) -> dict[str, dict[str, Any]]:
    """Return the options of metrics, by metric: what was given goes to all that have it.

    Parameters
    ----------
    given
        Texts by name, of ``--metric.NAME TEXT``.
    names
        The metrics that are measured.
    registry
        Where metrics are found.

    Raises
    ------
    UsageError
        None of the metrics has an option, or it refuses the value.
    """
    found: dict[str, dict[str, Any]] = {}
    for option, text in given.items():
        owners = [name for name in names if option in _option_specs(name, registry)]
        if not owners:
            known = {o for name in names for o in _option_specs(name, registry)}
            hint = suggest(option, known) or f" They have {', '.join(sorted(known)) or 'none'}."
            raise UsageError(f"--metric.{option}: none of the metrics has this option.{hint}")
        for name in owners:
            try:
                value = _option_specs(name, registry)[option].parse(text)
            except ValueError as error:
                raise UsageError(f"--metric.{option} {text}: {error}") from None
            found.setdefault(name, {})[option] = value
    return found


def _option_specs(name: str, registry: Registry) -> dict[str, OptionSpec]:
    return {spec.name: spec for spec in specs(registry.find(METRIC, name).component.options)}


def own_metrics(names: Sequence[str], registry: Registry) -> tuple[str, ...]:
    """Return the metrics that ship; in full where another plugin has one of that name."""
    return tuple(registry.short_name(METRIC, f"{PLUGIN}:{name}") for name in names)


def metric_names(preset: str, registry: Registry) -> tuple[str, ...]:
    """Return the metrics of a preset, ``all`` being every one that takes nothing but images.

    Raises
    ------
    UsageError
        There is no such preset.
    """
    if preset == "all":
        return tuple(
            registry.short_name(METRIC, provided.qualified)
            for provided in registry.all(METRIC)
            if not any(spec.required for spec in specs(provided.component.options))
        )
    if preset not in PRESETS:
        known = [*PRESETS, "all"]
        hint = suggest(preset, known) or f" There are {', '.join(known)}."
        raise UsageError(f"unknown preset {preset!r}.{hint}")
    return own_metrics(PRESETS[preset], registry)
