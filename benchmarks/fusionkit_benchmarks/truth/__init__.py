"""The fixed list of scenes with a known answer: families, numbers of sources, photographs, seeds.

``focus`` stacks (:mod:`.defocus`), ``exposure`` brackets of an evenly lit scene and ``lighting``
brackets of one in light and shade, and ``moving`` ones (:mod:`.exposure`), each of 2 to 5
sources, each with or without noise (:mod:`.noise`). Every scene is a function of a photograph, its
name and a seed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .defocus import Defocus, focus_scene
from .exposure import exposure_scene, lighting_scene, moving_scene
from .noise import Noise, noisy, noisy_scene
from .scene import TruthScene

__all__ = [
    "COUNTS",
    "FAMILIES",
    "NOISES",
    "UNMASKED",
    "Defocus",
    "Noise",
    "TruthScene",
    "exposure_scene",
    "focus_scene",
    "lighting_scene",
    "moving_scene",
    "noisy",
    "noisy_scene",
    "part_of",
    "truth_scene",
]

FAMILIES = ("focus", "exposure", "lighting", "moving")
UNMASKED = frozenset({"exposure", "moving"})
"""Families whose truth is in no source, so that masks alone do not lead to it."""
COUNTS = (2, 3, 4, 5)
NOISES: tuple[Noise, ...] = tuple(
    Noise(sigma, kind, where)
    for kind in ("gaussian", "poisson-gaussian")
    for where in ("all", "first")
    for sigma in (5.0, 10.0, 25.0)
)


def truth_scene(
    family: str,
    photograph: NDArray[Any],
    count: int = 2,
    *,
    photograph_name: str = "photograph",
    seed: int = 0,
    defocus: Defocus | None = None,
) -> TruthScene:
    """Make one scene of the list.

    Parameters
    ----------
    family
        ``focus``, ``exposure``, ``lighting`` or ``moving``.
    photograph
        (H, W) or (H, W, 3), uint8 or floats in [0, 1].
    count
        K.
    photograph_name, seed
        What layers are drawn from, together with family and count.
    defocus
        The blur of focus stacks.
    """
    name = f"{family}-{count}/{photograph_name}"
    if family == "focus":
        return focus_scene(photograph, count, name=name, seed=seed, defocus=defocus)
    if family == "lighting":
        return lighting_scene(photograph, count, name=name, seed=seed)
    if family == "exposure":
        return exposure_scene(photograph, count, name=name)
    if family == "moving":
        return moving_scene(photograph, count, name=name)
    raise ValueError(f"there is no family {family!r}: {', '.join(FAMILIES)}")


def part_of(index: int) -> str:
    """Return the part of a scene by its place in sorted order, from 0: tune on one, check on other.

    Even places are ``tuning``, odd ones ``checking``.
    """
    return ("tuning", "checking")[index % 2]


def oracle(scene: TruthScene) -> NDArray[np.float64]:
    """Return what the true masks make of the sources, like the truth: a bound for choosing."""
    masks = scene.masks if scene.truth.ndim == 2 else scene.masks[..., np.newaxis]
    chosen: NDArray[np.float64] = (masks * scene.sources).sum(0)
    return chosen
