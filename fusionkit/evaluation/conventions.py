"""Conventions of the field's toolboxes, by name: options of the metrics that ship.

``evaluator`` is the Python class of that name that much code of infrared-visible fusion carries
(MMIF-CDDFuse, ``utils/Evaluator.py``), ``vifb`` the MATLAB code of the VIFB benchmark (Zhang, Ye,
Xiao, CVPR Workshops 2020). What they compute as we do stands in neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..contract.metric import METRIC
from ..contract.options import suggest
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
        There is no such convention.
    """
    if name not in CONVENTIONS:
        hint = suggest(name, CONVENTIONS) or f" There are {', '.join(CONVENTIONS)}."
        raise UsageError(f"unknown convention {name!r}.{hint}")
    found = {metric: dict(said) for metric, said in (options or {}).items()}
    for metric in metrics:
        plugin, _, own = registry.find(METRIC, metric).qualified.partition(":")
        if plugin == PLUGIN and own in CONVENTIONS[name]:
            found[metric] = {**CONVENTIONS[name][own], **found.get(metric, {})}
    return found
