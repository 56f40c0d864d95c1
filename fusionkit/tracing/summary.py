"""A trace as a JSON-ready mapping; ``docs/trace.md`` describes its keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._version import __version__
from .diagnostics import WINDOW

if TYPE_CHECKING:
    from .collect import Trace

QUANTITIES = ("gain", "residual", "contribution")
"""What a source gives, lacks and does at a step; the weights' covariance with each is taken."""


def summarise(trace: Trace) -> dict[str, Any]:
    """Return a finished trace as plain lists, numbers and text; a batch is averaged over."""
    run, numbers = trace.finished_run(), trace.numbers()
    _, B, _, H, W = run.sources.shape
    rows = {name: values.mean(2) for name, values in numbers.items()}
    return {
        "fusionkit": __version__,
        "components": _components(trace),
        "weighs_by": weighs_by(trace),
        "sources": list(trace.source_names()),
        "images": B,
        "height": H,
        "width": W,
        "window": WINDOW,
        "seeds": list(run.seeds),
        "target_only": trace.target_only,
        "estimate": "corrected, step before" if trace.target_only else "clean, before correction",
        "nfe": trace.nfe / B,
        "nfe_of_trace": trace.nfe_of_trace / B,
        "steps": [
            {
                "index": i,
                "sigma": run.sigma[i],
                "weight": _plain(rows["weight"][i]),
                **{name: _plain(rows[name][i]) for name in QUANTITIES},
                "covariance": {name: _plain(rows[f"covariance-{name}"][i]) for name in QUANTITIES},
            }
            for i in range(run.steps)
        ],
        "totals": {name: total(rows[f"covariance-{name}"]) for name in QUANTITIES},
    }


def summary_text(summary: dict[str, Any]) -> str:
    """Return a summary as the text of its file."""
    return json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def total(rows: NDArray[np.float64]) -> float | None:
    """Sum over steps and sources, (N, K), leaving out the steps without an estimate."""
    known = rows[~np.isnan(rows).any(1)]
    return float(known.sum()) if len(known) else None


def weighs_by(trace: Trace) -> str | None:
    """Return which quantity the weighting says that it weighs by, if it does."""
    if trace.pipeline is None:
        return None
    said = getattr(trace.pipeline.parts["weighting"].built, "weighs_by", None)
    return said if said in QUANTITIES else None


def _components(trace: Trace) -> dict[str, str] | None:
    if trace.pipeline is None:
        return None
    return {group: str(part.table["name"]) for group, part in trace.pipeline.parts.items()}


def _plain(row: NDArray[np.float64]) -> list[float] | None:
    """One number per source, or None where there was no estimate."""
    return None if np.isnan(row).any() else [float(value) for value in row]
