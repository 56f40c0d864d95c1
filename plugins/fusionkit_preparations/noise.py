"""Sources with noise of their own: what the prior, and the other sources, say they show.

A diffusion prior is a denoiser for every noise level, so a source that is noisy itself,
y_k = c_k + σ_k n, is an image that the prior knows: its clean estimate is E[c_k | y_k]. That
uses one source at a time. What the others show of the same scene is used by a second estimate,
of what they do not foretell:

    q_k = what a local linear model of the other sources' estimates says of y_k,
    d_k = q_k + D(y_k - q_k, σ_k),

D the prior. Where one exposure foretells the other, y_k - q_k is almost noise alone, and d_k keeps
detail that the first estimate lost; where sources show different things, the
first estimate is the better one, and is kept:

    α_k = 1 / (1 + max(0, G(y_k - q_k)² / σ_k² - 1)),   ĉ_k = α_k d_k + (1 - α_k) E[c_k | y_k],

G the mean over a window: α is near 1 where the residual holds no more than the noise.
The local linear model is that of the guided filter (He, Sun, Tang, IEEE Trans. Pattern Anal.
Mach. Intell. 35, 2013, 1397-1409, eq. 5 to 8); several guides share by the inverse of what they
leave unexplained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionkit import (
    BasePreparation,
    Prepared,
    PriorAtHand,
    Sources,
    box_mean,
    noise_note,
)

from .levels import SourceNoise, noise_of

WINDOW = 31
"""Side of the windows in which one source is a linear function of another."""

FLOOR = 0.01
"""Contrast of a guide that is taken for nothing, of values in [-1, 1]: 1.3 grey levels."""

Denoise = Callable[[Tensor, Sequence[float]], Tensor]
"""Clean estimates of images (M, C, H, W) of M noise levels."""


class NoiseOff(BasePreparation):
    """Takes noise off of planes and colour, where it is given or found.

    Parameters
    ----------
    texts
        ``"K:SIGMA"``, ``"auto"``: see :func:`.levels.levels_of`.
    """

    stage: Literal["geometry", "radiometry", "restoration"] = "restoration"
    uses_seed = False

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = tuple(texts)

    def evaluations(self, sources: Sources) -> float:
        """Return two for each noisy source, and one for each colour."""
        noise = noise_of(sources, self._texts)
        colours = sum(noise[source].channel > 0 for source in sources.colour)
        return 2.0 * sum(sigma > 0 for sigma in _sigmas(sources, noise)) + colours

    def prepare(self, sources: Sources, prior: PriorAtHand) -> Prepared:
        """Return the scene with clean estimates of what is noisy.

        Raises
        ------
        UsageError
            There is no source K.
        """
        noise = noise_of(sources, self._texts)
        sigmas = _sigmas(sources, noise)
        planes = sources.planes
        if any(sigmas):
            y = torch.from_numpy(planes).to(prior.device, prior.dtype).mul(2).sub(1)
            shown = None if sources.shown is None else torch.from_numpy(sources.shown)
            clean = clean_sources(y, sigmas, prior.denoise, shown)
            planes = _unit(clean)
            for source, sigma in enumerate(sigmas):
                if not sigma:  # to the last bit
                    planes[source] = sources.planes[source]
        colour = dict(sources.colour)
        for source, image in sources.colour.items():
            if (sigma := noise[source].channel / 127.5) > 0:
                x = torch.from_numpy(image).movedim(-1, 0)[None]
                quiet = prior.denoise(x.to(prior.device, prior.dtype).mul(2).sub(1), [sigma])
                colour[source] = np.moveaxis(_unit(quiet[0]).clip(0, 1), 0, -1)
        taken = {"taken_off": [round(each.channel, 2) for each in noise], "of": 255}
        return Prepared(
            replace(sources, planes=planes, colour=colour), taken, self._notes(sources, noise)
        )

    def _notes(self, sources: Sources, noise: Sequence[SourceNoise]) -> list[str]:
        notes = []
        if "auto" in self._texts and not any(one.found for one in noise):
            if any(one.channel > 0 for one in noise):
                notes.append("--noise auto: no other source shows noise")
            else:
                notes.append("--noise auto: no source shows noise, so none is taken off")
        notes += [
            noise_note(name, one.seen)
            for name, one in zip(sources.names, noise, strict=True)
            if one.seen and not one.asked
        ]
        return notes


def _sigmas(sources: Sources, noise: Sequence[SourceNoise]) -> list[float]:
    """Return the noise of the planes, in units of images in [-1, 1]."""
    in_colour = sources.planes.shape[1] > 1
    return [(one.channel if in_colour else one.luma) / 127.5 for one in noise]


def clean_sources(
    sources: Tensor, sigmas: Sequence[float], denoise: Denoise, shown: Tensor | None = None
) -> Tensor:
    """Return the sources without their noise; those that have none unchanged.

    Parameters
    ----------
    sources
        (K, C, H, W) in [-1, 1].
    sigmas
        (K,) standard deviations in units of the sources, >= 0.
    denoise
        The prior; each noisy source takes two evaluations.
    shown
        (K, H, W), where each shows the scene. Where no other does, the others are filled by the
        source itself, noise and all, and foretell nothing.
    """
    noisy = [k for k, sigma in enumerate(sigmas) if sigma > 0]
    if not noisy:
        return sources
    of_each = [sigmas[k] for k in noisy]
    y = sources[noisy]
    first = sources.clone()
    first[noisy] = denoise(y, of_each)

    foretold = torch.stack([_foretold(k, sources[k], first, sigmas) for k in noisy])
    left = y - foretold
    second = foretold + denoise(left, of_each)
    power = _mean(left.square().mean(-3, keepdim=True))
    variance = torch.tensor([sigma**2 for sigma in of_each]).to(y).view(-1, 1, 1, 1)
    trust = 1 / (1 + (power / variance - 1).clamp(min=0))
    if shown is not None:
        others = shown.sum(0) - shown.to(torch.int64)[noisy]
        trust = trust * (others > 0)[:, None].to(trust)
    first[noisy] = torch.lerp(first[noisy], second, trust)
    return first


def _foretold(k: int, y: Tensor, clean: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Return q_k (C, H, W) of source y by the estimates (K, C, H, W) of all others."""
    total, norm = torch.zeros_like(y), torch.zeros_like(y)
    for j, guide in enumerate(clean):
        if j == k:
            continue
        # What is left of the guide's noise must not be taken for structure either.
        prediction = _local_linear(y, guide, FLOOR**2 + 0.03 * sigmas[j] ** 2)
        certainty = 1 / _mean((y - prediction).square()).clamp(min=FLOOR**2)
        total += certainty * prediction
        norm += certainty
    return total / norm


def _local_linear(y: Tensor, guide: Tensor, floor: float) -> Tensor:
    """Return the linear function of the guide that fits y best, window by window, averaged."""
    mean_guide, mean_y = _mean(guide), _mean(y)
    covariance = _mean(guide * y) - mean_guide * mean_y
    slope = covariance / (_mean(guide.square()) - mean_guide.square() + floor)
    offset = mean_y - slope * mean_guide
    return _mean(slope) * guide + _mean(offset)


def _mean(maps: Tensor) -> Tensor:
    return box_mean(maps, WINDOW)


def _unit(images: Tensor) -> NDArray[np.float32]:
    """Return images in [-1, 1] as an array in about [0, 1]."""
    unit: NDArray[np.float32] = ((images + 1) / 2).float().cpu().numpy()
    return unit
