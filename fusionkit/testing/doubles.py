"""Doubles that are exact and need no weights, and the making of sources and runs for tests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from fusionkit.contract.adapters import Prior
from fusionkit.contract.estimator import NoiseEstimator
from fusionkit.contract.objective import StartedObjective, StartedTarget
from fusionkit.contract.run import Run as SomeRun
from fusionkit.contract.run import Step
from fusionkit.contract.sampler import Guide
from fusionkit.contract.weighting import StartedWeighting
from fusionkit.sampling.levels import Schedule, choose_levels
from fusionkit.sampling.run import Run


class WhiteGaussian(Prior):
    """The exact prior of white Gaussian images: x0 ~ N(0, v) at every pixel.

    For x = x0 + sigma n the posterior mean is v x / (v + sigma²), pixel by pixel.

    Parameters
    ----------
    deviation
        sqrt(v), of values in [-1, 1].
    channels
        1, 3, or None for any number; treated alike.
    multiple_of
        Declared, and required of what it is given, as a network would.
    """

    sigma_min, sigma_max = 0.0, math.inf

    def __init__(
        self, deviation: float = 0.5, channels: int | None = 1, multiple_of: int = 1
    ) -> None:
        self.channels = channels
        self.multiple_of = multiple_of
        self._variance = deviation**2

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the posterior mean of x0 in ``x`` (B, C, H, W) at ``sigma`` (B,)."""
        if x.shape[-2] % self.multiple_of or x.shape[-1] % self.multiple_of:
            raise ValueError(f"{tuple(x.shape[-2:])} is no multiple of {self.multiple_of}")
        return self._variance / (self._variance + sigma.square().view(-1, 1, 1, 1)) * x


class EulerSampler:
    """A sampler: deterministic DDIM, as plain as it can be written."""

    trajectory = True

    def sample(self, run: SomeRun, guide: Guide) -> Iterator[Any]:
        """Yield every step; go towards the corrected estimate."""
        x = guide.start()
        for i in range(run.steps):
            done = guide(i, x, run.clean_estimate(x, i))
            f = done.corrected
            yield done
            x = f + run.sigma[i + 1] / run.sigma[i] * (x - f)


class ConstantWeights:
    """A weighting: the same shares of the sources at every pixel and step.

    Parameters
    ----------
    shares
        One per source, summing to 1; none for equal shares.
    """

    uses_trajectory = False
    levels = "none"

    def __init__(self, shares: Sequence[float] = ()) -> None:
        self.shares = tuple(shares)

    def start(self, run: Run) -> StartedWeighting:
        """Lay out the weights."""
        K, B, _, H, W = run.sources.shape
        shares = run.sources.new_tensor(self.shares or (1 / K,) * K)
        weights = shares.view(K, 1, 1, 1, 1).expand(K, B, 1, H, W)
        return lambda step: weights


class WeightedMean:
    """An objective: the weighted mean of the sources is the target.

    Parameters
    ----------
    strength
        lambda, see :func:`fusionkit.proximal_weights`.
    """

    def __init__(self, strength: float = 0.1) -> None:
        self.strength = strength
        self.uses_trajectory = strength > 0
        self.levels = "all" if strength > 0 else "none"

    def start(self, run: Run) -> StartedObjective:
        """Begin a run."""
        return _StartedWeightedMean(run, self.strength)


class _StartedWeightedMean(StartedTarget):
    def target(self, step: Step, weights: Tensor) -> Tensor:
        """Return the weighted mean of the sources."""
        return self.initial(weights)


def synthetic_sources(
    K: int = 2,
    B: int = 1,
    C: int = 1,
    H: int = 17,
    W: int = 23,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Make sources that differ as those of fusion do, (K, B, C, H, W) in [-1, 1].

    The sources of an image share a smooth scene and a texture; each has its own
    brightness, and shows the texture in its own band of columns only.

    Parameters
    ----------
    K, B, C, H, W
        Sources, images, channels, pixels.
    seed
        Equal seeds give equal images, and image b is the same for any B.
    dtype
        Of the result.
    """
    images = [_image(K, C, H, W, torch.Generator().manual_seed(seed + 7919 * b)) for b in range(B)]
    return torch.stack(images, 1).to(dtype)


def _image(K: int, C: int, H: int, W: int, generator: torch.Generator) -> Tensor:
    def drawn(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    y = torch.linspace(0, 1, H, dtype=torch.float64).view(-1, 1)
    x = torch.linspace(0, 1, W, dtype=torch.float64)
    phase = 2 * math.pi * drawn(C, 1, 1)
    scene = 0.4 * torch.sin(2 * math.pi * (drawn(C, 1, 1) * y + drawn(C, 1, 1) * x) + phase)
    texture = 0.6 * drawn(C, H, W) - 0.3
    brightness = 0.6 * drawn(K, 1, 1, 1) - 0.3
    centres = (torch.arange(K, dtype=torch.float64) + 0.5).view(K, 1, 1, 1) / K
    shown = torch.exp(-0.5 * ((x - centres) * K).square())
    return scene + brightness + shown * texture


def make_run(
    sources: Tensor | None = None,
    *,
    estimator: NoiseEstimator | None = None,
    steps: int = 4,
    start_sigma: float = 80.0,
    spacing: str = "ddpm",
    seeds: Sequence[int] | None = None,
) -> Run:
    """Make a run to start a component in.

    Parameters
    ----------
    sources
        (K, B, C, H, W) in [-1, 1], on the device and in the dtype of the run.
        Default: those of :func:`synthetic_sources`.
    estimator
        Default: :class:`WhiteGaussian` with the sources' channels.
    steps, start_sigma, spacing
        As in :class:`fusionkit.Settings`.
    seeds
        One per image. Default: 0, 1, 2, ...

    Examples
    --------
    >>> run = make_run(steps=2)
    >>> weights = ConstantWeights().start(run)
    >>> weights(Step(run, 0, None, None)).shape
    torch.Size([2, 1, 1, 17, 23])
    """
    if sources is None:
        sources = synthetic_sources()
    if estimator is None:
        estimator = WhiteGaussian(channels=sources.shape[2])
    schedule = Schedule.of(choose_levels(steps, start_sigma, spacing))
    seeds = range(sources.shape[1]) if seeds is None else seeds
    return Run(sources, tuple(seeds), estimator, schedule)
