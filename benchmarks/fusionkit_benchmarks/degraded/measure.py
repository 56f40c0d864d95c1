"""Going through pairs and degradations, row by row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from skimage import metrics as untyped

from fusionkit import Registry

from . import classical
from .priors import Array, Fuser
from .scenes import Degraded, Pair, degraded

metrics: Any = untyped


@dataclass(frozen=True)
class Outcome:
    """One row on one degraded pair.

    Attributes
    ----------
    psnr, ssim
        Of the restored source, against the clean one.
    fused
        PSNR of the fused image, against the fusion of clean sources.
    nfe, seconds
        Of the restoration; NFE 0 without a prior.
    """

    pair: str
    group: str
    kind: str
    row: str
    psnr: float
    ssim: float
    fused: float
    nfe: float
    seconds: float

    def as_mapping(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return asdict(self)


def measure(
    pairs: Iterable[Pair],
    kinds: Sequence[str],
    estimators: Sequence[str],
    levels: int,
    fuser: Fuser,
    folder: Path,
    registry: Registry,
    on_row: Callable[[str], None],
) -> list[Outcome]:
    """Measure every row on every degradation of every pair.

    Parameters
    ----------
    pairs, kinds
        What is degraded, and how.
    estimators, levels
        Priors, the first of which also restores jointly; evaluations of them.
    fuser
        What restores and fuses.
    folder
        For masks.
    registry
        Where observations are looked up.
    on_row
        Called after each row, with what it is of.
    """
    found = []
    for pair in pairs:
        clean = pair.clean[0] / 255.0
        ideal = fuser.fused(clean, pair.clean[1])
        for kind in kinds:
            scene = degraded(pair, kind, folder, registry)
            rows: dict[str, Callable[[], tuple[Array, float]]] = {
                name: _without_prior(method, scene)
                for name, method in {
                    "nothing": classical.nothing,
                    **classical.methods(kind),
                }.items()
            }
            for estimator in estimators:
                rows[f"{estimator}, alone"] = _by_prior(fuser, scene, estimator, False, levels)
            rows[f"{estimators[0]}, joint"] = _by_prior(fuser, scene, estimators[0], True, levels)
            for row, restore in rows.items():
                began = time.perf_counter()
                image, nfe = restore()
                seconds = time.perf_counter() - began
                image = np.clip(image, 0, 1)
                fused = fuser.fused(image, pair.clean[1])
                found.append(
                    Outcome(
                        pair.name,
                        pair.group,
                        kind,
                        row,
                        _psnr(image, clean),
                        float(metrics.structural_similarity(image, clean, data_range=1.0)),
                        _psnr(fused, ideal),
                        nfe,
                        seconds,
                    )
                )
                on_row(f"{pair.name} {kind}")
    return found


def _without_prior(method: classical.Method, scene: Degraded) -> Callable[[], tuple[Array, float]]:
    return lambda: (method(scene), 0.0)


def _by_prior(
    fuser: Fuser, scene: Degraded, estimator: str, guided: bool, levels: int
) -> Callable[[], tuple[Array, float]]:
    return lambda: fuser.restored(scene, estimator, guided, levels)[:2]


def _psnr(image: Array, truth: Array) -> float:
    return float(-10 * np.log10(max(np.square(image - truth).mean(), 1e-10)))
