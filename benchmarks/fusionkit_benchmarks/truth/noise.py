"""Noise on the sources of any scene, made or real.

*Gaussian*: y = x + n, n of standard deviation sigma. *Poisson-Gaussian*, as of a sensor that
counts photons and is read out (Foi and others, IEEE Trans. Image Process. 17 (2008)
1737-1754): y = a Poisson(x / a) + n', of variance sigma^2 (x + 1/2), half of it, at mid-grey,
from either; a = sigma^2 on [0, 1]. Both on the coded values that a file holds, per
channel. Then clipped and rounded to 8 bits, unless the floats are wanted as drawn: clipping makes
the noise of black and white one-sided, as it is in files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .scene import Array, TruthScene, eight_bits, generator_of

Kind = Literal["gaussian", "poisson-gaussian"]


@dataclass(frozen=True)
class Noise:
    """What noise, and where.

    Attributes
    ----------
    sigma
        Standard deviation, of 255; of the Poisson-Gaussian kind that at mid-grey.
    kind
        ``gaussian`` or ``poisson-gaussian``.
    where
        ``all`` sources, each with its own noise, or the ``first`` only.
    stored
        Whether values are clipped and rounded as in an 8-bit file.
    """

    sigma: float
    kind: Kind = "gaussian"
    where: Literal["all", "first"] = "all"
    stored: bool = True

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ValueError(f"noise needs a sigma above 0, not {self.sigma}")


def noisy(
    sources: Array, noise: Noise, *, name: str, seed: int = 0
) -> tuple[Array, tuple[float, ...]]:
    """Return sources (K, H, W[, 3]) in [0, 1] with noise, and its deviations (K,), of 255.

    Equal names and seeds give the same noise, of any sigma and wherever it is. The
    deviation of Poisson-Gaussian noise is the root of its mean variance in that source.
    """
    made = sources.copy()
    sigmas = [0.0] * len(sources)
    for k in range(len(sources) if noise.where == "all" else 1):
        random = generator_of(seed, name, noise.kind, k)
        made[k], sigmas[k] = _noised(sources[k], noise, random)
    return made, tuple(sigmas)


def noisy_scene(scene: TruthScene, noise: Noise, seed: int = 0) -> TruthScene:
    """Return a scene with noise on its sources; the truth stays as it is."""
    made, sigmas = noisy(scene.sources, noise, name=scene.name, seed=seed)
    return replace(scene, sources=made, sigmas=sigmas)


def _noised(source: Array, noise: Noise, random: np.random.Generator) -> tuple[Array, float]:
    sigma = noise.sigma / 255
    if noise.kind == "gaussian":
        made, deviation = source + sigma * random.standard_normal(source.shape), noise.sigma
    else:
        readout = random.standard_normal(source.shape) * sigma * np.sqrt(0.5)
        made = sigma**2 * random.poisson(source / sigma**2) + readout
        deviation = noise.sigma * float(np.sqrt(source.mean() + 0.5))
    return (eight_bits(made) if noise.stored else made), deviation
