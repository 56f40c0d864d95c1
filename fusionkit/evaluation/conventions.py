"""Conventions of the field's toolboxes, by name: options of the metrics that ship.

``evaluator`` is the Python class of that name that much code of infrared-visible fusion carries
(MMIF-CDDFuse, ``utils/Evaluator.py``), ``vifb`` the MATLAB code of the VIFB benchmark (Zhang, Ye,
Xiao, CVPR Workshops 2020). What they compute as we do stands in neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..contract.metric import METRIC
from ..contract.options import specs, suggest
from ..contract.registry import Registry
from ..errors import UsageError
from .presets import PLUGIN

CONVENTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "ours": {},
    "evaluator": {
        "mi": {"logarithm": "nats"},
        "psnr": {"peak": "fused"},
        "ssim": {"window": "uniform", "span": 2.0},
    },
    "vifb": {
        "ag": {"divisor": "intervals"},
        "ce": {"absent": "skip"},
        "mi": {"logarithm": "nats", "stretch": True},
        "psnr": {"error": "root-sum"},
        "qcb": {"stretch": True},
        "qcv": {"stretch": True},
        "rmse": {"error": "root-sum"},
        "sf": {"divisor": "pixels"},
    },
}
"""Options by metric, by the name of a convention."""

OURS = "ours"


def in_convention(
    name: str,
    metrics: Sequence[str],
    registry: Registry,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return the options of metrics in a convention; those given in ``options`` stand.

    They are checked, and files that they name have absolute paths, as texts.

    Parameters
    ----------
    name
        Of :data:`CONVENTIONS`.
    metrics
        What is measured, as ``fusionkit plugins`` lists it; those of other plugins have their own.
    registry
        Where metrics are found.
    options
        What was said of single metrics.

    Raises
    ------
    UsageError
        There is no such convention or option, or a required option is not said.
    """
    if name not in CONVENTIONS:
        hint = suggest(name, CONVENTIONS) or f" There are {', '.join(CONVENTIONS)}."
        raise UsageError(f"unknown convention {name!r}.{hint}")
    found = {metric: dict(said) for metric, said in (options or {}).items()}
    for metric in metrics:
        provided = registry.find(METRIC, metric)
        plugin, _, own = provided.qualified.partition(":")
        if plugin == PLUGIN and own in CONVENTIONS[name]:
            found[metric] = {**CONVENTIONS[name][own], **found.get(metric, {})}
        made = provided.make_options(found.get(metric, {}))
        provided.refuse_unsaid(made)
        for spec in specs(provided.component.options):
            value = getattr(made, spec.field)
            if spec.type is Path and value:
                said = found.setdefault(metric, {})
                said.pop(spec.field, None)
                said[spec.name] = [str(path) for path in value] if spec.many else str(value)
    return found
