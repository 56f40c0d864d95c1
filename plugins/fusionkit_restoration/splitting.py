"""Half-quadratic splitting: the prior, the measurements, and what sources show of one another.

Source k is y_k = A_k c_k + n_k, A_k and n_k by its observation. Over falling levels σ_i,

    x_k = d_k + D(z_k - d_k, σ_i),
    z_k = argmin_c |A_k c - y_k|² / 2 + ρ_i |c - x_k|² / 2,    ρ_i = (max(σ_n, rounding) / σ_i)²,

D the prior, σ_n the standard deviation of n_k, and d_k what other sources foretell of this one
(:mod:`.foretelling`; zero if sources are restored one by one). The prior sees what is not
foretold: where another source shows the same, that is smooth, and easy to restore.

What has no noise and lacks pixels is guessed well where it is smooth: g_k, by a thin plate, is off
by about e there (:func:`.guesses.error_of`). At levels above e the guess knows better, so that
x_k becomes g_k + (x_k - g_k) / (1 + (σ_i / e)⁴): each place begins at its own level. And z_k,
which the prior moves less and less as σ_i falls, goes on by β of its last move (Nesterov).

The prior is shown one of the eight turns and reflections at each level, the next one at the next,
so that what it prefers of one of them evens out: 0.03 to 0.12 dB, for nothing.

Zhang et al., "Plug-and-play image restoration with deep denoiser prior", TPAMI 44 (2022),
6360-6376, eq. 6 to 9; Zhu et al., "Denoising diffusion models for plug-and-play image restoration"
(DiffPIR), CVPRW 2023, who add noise again between levels. That makes samples (:mod:`.drawing`),
further from the truth than the estimate that comes without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fusionkit import StartedObservation

from .foretelling import foretold
from .guesses import ROUNDING, error_of, guess, shows_whole

FIRST = 15 / 127.5
FIRST_OF_NOISY = 40 / 127.5
LAST = 1 / 127.5
"""The first and the last level, of images in [-1, 1]. What only lacks pixels is guessed well where
it is smooth, and begins lower: more would undo that. To take a blur back from noise takes more."""

MOMENTUM = 0.8
"""β: worth 0.3 to 0.6 dB in holes of textured images. With noise, which it carries on too, it costs
as much."""

Denoise = Callable[[Tensor, Sequence[float], bool], Tensor]
"""Returns the prior's clean estimates of images (M, C, H, W) of M noise levels; the last argument
says whether what they hold is white noise, or what is wrong in an estimate, which is not."""


@dataclass(frozen=True)
class Restored:
    """What sources show on the fused grid.

    Attributes
    ----------
    images
        K sources (B, C, H, W), about in [-1, 1].
    taken
        K maps (B, C, H, W): the part of each image that is other sources' detail, which the
        source's own measurement does not show. Zero where sources are restored one by one.
    evaluations
        How many images (C, H, W) went through the prior.
    """

    images: list[Tensor]
    taken: list[Tensor]
    evaluations: int


def levels_of(observation: StartedObservation, count: int) -> tuple[float, ...]:
    """Return the noise levels that a source is restored at.

    None for a source that shows the scene as it is, its own for one that is only noisy; else
    ``count``, spread geometrically, down to its noise.
    """
    if shows_all(observation):
        return (observation.sigma,) if observation.sigma > 0 else ()
    first = FIRST_OF_NOISY if observation.sigma > 0 else FIRST
    return falling(first, min(max(LAST, observation.sigma), first), count)


def falling(first: float, last: float, count: int) -> tuple[float, ...]:
    """Return ``count`` levels from the first to the last, spread geometrically."""
    steps = max(1, count - 1)
    return tuple(first * (last / first) ** (i / steps) for i in range(count))


def closeness(observation: StartedObservation, sigma: float) -> float:
    """Return ρ, how much an estimate of a level counts beside what was measured."""
    return (max(observation.sigma, ROUNDING) / sigma) ** 2


def shows_all(observation: StartedObservation) -> bool:
    """Whether a source shows all of the scene, but for noise that is the same everywhere."""
    return shows_whole(observation) and observation.mask is None


def restore(
    measured: Sequence[Tensor],
    observations: Sequence[StartedObservation],
    size: tuple[int, int],
    denoise: Denoise,
    *,
    levels: int = 10,
    guided: bool = True,
) -> Restored:
    """Restore the sources of a scene.

    Parameters
    ----------
    measured
        K sources (B, C, h_k, w_k) in about [-1, 1], finite everywhere.
    observations
        K, how they were measured of images of ``size``.
    size
        (H, W) of the fused grid.
    denoise
        The prior: one call for each level, with all sources that are restored at it.
    levels
        How many evaluations a source takes that is more than noisy; one that is takes one.
    guided
        Whether what one source shows helps the others. A source that shows the scene as it is
        comes back unchanged in any case, and one that is only noisy as the prior estimates it. A
        blurred one is restored by itself, too: a source that is out of focus would lose, by
        0.9 dB, more than others win (0.1 dB).
    """
    images = [
        y if shows_all(o) else guess(y, o, size)
        for y, o in zip(measured, observations, strict=True)
    ]
    plans = [levels_of(observation, levels) for observation in observations]
    noisy = [k for k, o in enumerate(observations) if shows_all(o) and o.sigma > 0]
    # These first: the others are then guided by clean estimates.
    for k in noisy:
        images[k] = denoise(images[k], plans[k] * len(images[k]), True)
    poor = [k for k, observation in enumerate(observations) if not shows_all(observation)]
    lacking = [k for k in poor if _lacks_pixels(observations[k], measured[k], size)]
    detail = {k: torch.zeros_like(images[k]) for k in poor}
    begun = {k: images[k] for k in poor}
    for k in lacking if guided else ():
        detail[k] = foretold(k, measured[k], observations[k], images)
        begun[k] = _begun(measured[k], observations[k], size, detail[k])
    errors = {
        k: error_of(
            begun[k] - detail[k], measured[k] - observations[k].A(detail[k]), observations[k]
        )
        for k in lacking
        if observations[k].sigma == 0
    }
    z, moved = dict(begun), dict(begun)
    for i in range(levels if poor else 0):
        for k in lacking if guided and i > 0 else ():
            detail[k] = foretold(k, measured[k], observations[k], images)
        left = torch.cat([z[k] - detail[k] for k in poor])
        sigmas = [plans[k][i] for k in poor for _ in range(len(z[k]))]
        clean = turned_back(denoise(turned(left, i), sigmas, False), i)
        clean = clean.view(len(poor), *z[poor[0]].shape)
        for k, estimate in zip(poor, clean.unbind(), strict=True):
            sigma = plans[k][i]
            images[k] = detail[k] + estimate
            if k in errors:
                trust = 1 / (1 + (sigma / errors[k]) ** 4)
                images[k] = begun[k] + trust * (images[k] - begun[k])
            rho = closeness(observations[k], sigma)
            before, moved[k] = moved[k], observations[k].prox(images[k], measured[k], rho)
            onwards = MOMENTUM if k in errors and i > 0 else 0.0
            z[k] = moved[k] + onwards * (moved[k] - before)
    taken = [torch.zeros_like(image) for image in images]
    for k in poor:
        if observations[k].sigma == 0:  # else the estimate, in which there is no noise
            images[k] = moved[k]
        taken[k] = detail[k] - guess(observations[k].A(detail[k]), observations[k], size)
    evaluations = len(noisy) + len(poor) * levels
    return Restored(images, taken, evaluations * len(images[0]))


def turned(images: Tensor, number: int) -> Tensor:
    """Return images (..., H, W) as one of eight turns and reflections; 0 leaves them alone."""
    axes = [axis for axis in (-1, -2) if number & -axis]
    images = images.flip(axes) if axes else images
    return images.mT if number & 4 else images


def turned_back(images: Tensor, number: int) -> Tensor:
    """Undo :func:`turned`."""
    images = images.mT if number & 4 else images
    axes = [axis for axis in (-1, -2) if number & -axis]
    return images.flip(axes) if axes else images


def _lacks_pixels(observation: StartedObservation, y: Tensor, size: tuple[int, int]) -> bool:
    return y.shape[-2:] != size or shows_whole(observation)


def _begun(
    y: Tensor, observation: StartedObservation, size: tuple[int, int], detail: Tensor
) -> Tensor:
    """Return detail that is foretold, with a guess of what is not."""
    return detail + guess(y - observation.A(detail), observation, size)
