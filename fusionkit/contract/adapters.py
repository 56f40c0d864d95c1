"""Priors made of what networks and denoisers are elsewhere: predictions of noise, velocity or x0.

All become ``denoise(x, sigma) -> x0`` of x = x0 + sigma n. A variance-preserving model, trained
on x_t = a x0 + s n with a = sqrt(alpha_bar[t]) and s = sqrt(1 - alpha_bar[t]), sees
x_t = a x with a = 1 / sqrt(1 + sigma²), at the step t whose s / a is nearest to sigma.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import PluginError
from .estimator import BaseEstimator

Predict = Callable[[Tensor, Tensor], Tensor]
"""From x_t (B, C, H, W) and t (B,) int64 to what a network predicts, (B, C, H, W)."""

DDPM_SIGMA = (0.01, 157.5)
"""The range of levels that priors which say nothing are taken to know: DDPM's, about."""


class Prior(BaseEstimator):
    """A base for priors: the optional members, and a gradient through ``denoise`` by autograd.

    Subclasses implement :meth:`denoise`, which is all that a prior needs.
    """

    channels: int | None = None
    multiple_of: int = 1
    sigma_min, sigma_max = DDPM_SIGMA

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the estimate of x0, shaped as ``x`` (B, C, H, W), at levels ``sigma`` (B,)."""
        raise NotImplementedError

    def vjp(self, x: Tensor, sigma: Tensor, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        """Return the clean estimate and J^T cotangent, J its Jacobian in x; both as ``x``."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            x0 = self.denoise(x, sigma)
            (gradient,) = torch.autograd.grad(x0, x, cotangent.to(x0.dtype))
        return x0.detach(), gradient


class DiscretePrior(Prior):
    """A network that knows the T levels of a variance-preserving schedule.

    Parameters
    ----------
    predict
        The network: x_t (B, C, H, W), t (B,) int64 to its prediction. More channels than
        those of x_t, a learned variance, are dropped.
    alpha_bar
        (T,) decreasing, in (0, 1).
    prediction
        ``epsilon``, the noise n; ``velocity``, a n - s x0 (arXiv 2202.00512); ``sample``, x0.
    channels, multiple_of
        Of :class:`fusionkit.NoiseEstimator`.

    Raises
    ------
    PluginError
        alpha_bar is no such table.
    """

    def __init__(
        self,
        predict: Predict,
        alpha_bar: Sequence[float] | Tensor,
        prediction: Literal["epsilon", "velocity", "sample"] = "epsilon",
        *,
        channels: int | None,
        multiple_of: int = 1,
    ) -> None:
        self.channels = channels
        self.multiple_of = multiple_of
        self.prediction = prediction
        self._predict = predict
        levels = sigmas_of(alpha_bar)
        self.sigma_min, self.sigma_max = levels[0], levels[-1]
        table = torch.tensor(levels, dtype=torch.float64).log()
        # Needed at every level on the device: moving them there each time would wait for it.
        self._log_sigma = lru_cache(maxsize=8)(table.to)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the clean estimate by the network's prediction."""
        table = self._log_sigma(x.device)
        t = (sigma.double().log()[:, None] - table).abs().argmin(1)
        column = sigma.view(-1, 1, 1, 1)
        a = (1 + column.square()).rsqrt()
        noisy = a * x
        predicted = self._predict(noisy, t)[:, : x.shape[1]].to(x.dtype)
        if self.prediction == "sample":
            return predicted
        if self.prediction == "velocity":
            return a * (noisy - column * predicted)  # a x_t - s v, s = a sigma
        return x - column * predicted


class FunctionPrior(Prior):
    """A denoiser of known noise, as a prior."""

    def __init__(
        self,
        denoiser: Callable[[Any, Any], Any],
        *,
        value_range: tuple[float, float],
        channels: int | None,
        multiple_of: int,
        sigma_range: tuple[float, float],
    ) -> None:
        self.channels = channels
        self.multiple_of = multiple_of
        self.sigma_min, self.sigma_max = sigma_range
        self._denoiser = denoiser
        self._low = value_range[0]
        self._unit = (value_range[1] - value_range[0]) / 2

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return what the denoiser makes of ``x``, in the values that it knows."""
        image, level = (x + 1) * self._unit + self._low, sigma * self._unit
        return (self._clean(image, level).to(x.dtype) - self._low) / self._unit - 1

    def _clean(self, images: Tensor, levels: Tensor) -> Tensor:
        clean: Tensor = self._denoiser(images, levels)
        return clean


class ArrayPrior(FunctionPrior):
    """A denoiser of NumPy arrays, (H, W) or (H, W, C), as a prior: image by image on the CPU."""

    vjp = None  # type: ignore[assignment]  # no gradient passes through arrays

    def _clean(self, images: Tensor, levels: Tensor) -> Tensor:
        if images.device.type == "meta":
            return torch.empty_like(images)
        made = []
        for image, level in zip(images.cpu(), levels.tolist(), strict=True):
            array = image[0].numpy() if len(image) == 1 else image.movedim(0, -1).numpy()
            clean = torch.as_tensor(self._denoiser(array, level))
            made.append(clean[None] if clean.ndim == 2 else clean.movedim(-1, 0))
        return torch.stack(made).to(images.device)


def from_epsilon(
    net: Predict,
    alpha_bar: Sequence[float] | Tensor,
    *,
    channels: int | None = 3,
    multiple_of: int = 1,
) -> Prior:
    """Make a prior of a network that predicts the noise of x_t = a x0 + s n.

    Parameters
    ----------
    net
        ``net(x_t, t)``, t (B,) int64, to the noise (B, C, H, W).
    alpha_bar
        (T,) decreasing, in (0, 1): a² of every step.
    channels, multiple_of
        Of :class:`fusionkit.NoiseEstimator`.

    Examples
    --------
    The exact prior of standard normal pixels, whose noise estimate is s x_t:

    >>> import torch
    >>> alpha_bar = torch.linspace(0.99, 0.01, 50).double()
    >>> net = lambda x, t: (1 - alpha_bar[t]).sqrt().to(x)[:, None, None, None] * x
    >>> prior = from_epsilon(net, alpha_bar, channels=1)
    >>> sigma = (1 / alpha_bar - 1).sqrt()[[20]]
    >>> x = torch.ones(1, 1, 2, 2, dtype=torch.float64)
    >>> bool(torch.allclose(prior.denoise(x, sigma), x / (1 + sigma**2)))
    True
    """
    return DiscretePrior(net, alpha_bar, "epsilon", channels=channels, multiple_of=multiple_of)


def from_velocity(
    net: Predict,
    alpha_bar: Sequence[float] | Tensor,
    *,
    channels: int | None = 3,
    multiple_of: int = 1,
) -> Prior:
    """Make a prior of a network that predicts a n - s x0 (Salimans and Ho, arXiv 2202.00512).

    Parameters as of :func:`from_epsilon`.
    """
    return DiscretePrior(net, alpha_bar, "velocity", channels=channels, multiple_of=multiple_of)


def from_denoiser(
    denoiser: Callable[[Any, Any], Any],
    *,
    value_range: tuple[float, float] = (0.0, 1.0),
    channels: int | None = None,
    multiple_of: int = 1,
    numpy: bool = False,
    sigma_range: tuple[float, float] = DDPM_SIGMA,
) -> Prior:
    """Make a prior of any denoiser of white noise whose level is known.

    Parameters
    ----------
    denoiser
        ``denoiser(image, sigma)``: tensors (B, C, H, W) and (B,), or with ``numpy`` one array
        (H, W) or (H, W, C) and a float, as of BM3D or non-local means. ``sigma`` is in
        the units of ``value_range``.
    value_range
        Which values it knows as black and white.
    channels
        How many it takes; None for any.
    multiple_of, sigma_range
        Of :class:`fusionkit.NoiseEstimator`.
    numpy
        Whether it is a function of NumPy arrays. It is then called image by image on the CPU,
        reads values back to the host, and has no gradient.

    Examples
    --------
    >>> import numpy as np, torch
    >>> prior = from_denoiser(lambda image, sigma: image.clip(0, 1), numpy=True)
    >>> prior.denoise(torch.full((1, 1, 2, 2), 1.5), torch.tensor([0.1])).flatten().tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    kind = ArrayPrior if numpy else FunctionPrior
    return kind(
        denoiser,
        value_range=value_range,
        channels=channels,
        multiple_of=multiple_of,
        sigma_range=sigma_range,
    )


def from_azula(denoiser: Any, *, channels: int | None = 3, multiple_of: int = 1) -> Prior:
    """Make a prior of a denoiser of the azula library (any object that behaves as one).

    It is called as ``denoiser(x_t, t)`` with x_t = alpha_t x0 + sigma_t n and t in [0, 1], by
    its ``schedule(t) -> (alpha_t, sigma_t)``, and returns a posterior with a ``mean``.
    """
    return AzulaPrior(denoiser, channels=channels, multiple_of=multiple_of)


class AzulaPrior(Prior):
    """See :func:`from_azula`; times are found on a grid of the schedule."""

    def __init__(self, denoiser: Any, *, channels: int | None, multiple_of: int) -> None:
        self.channels = channels
        self.multiple_of = multiple_of
        self._denoiser = denoiser
        times = torch.linspace(0, 1, 4097, dtype=torch.float64)
        alpha, sigma = denoiser.schedule(times)
        ratio = (sigma / alpha).double()
        known = torch.isfinite(ratio) & (ratio > 0)
        self._times, ratio = times[known], ratio[known]
        self._log = ratio.log()
        self.sigma_min, self.sigma_max = float(ratio[0]), float(ratio[-1])

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the mean of the posterior at the time whose level is sigma."""
        times, log = self._times.to(x.device), self._log.to(x.device)
        wanted = sigma.double().log().clamp(log[0], log[-1])
        after = torch.searchsorted(log, wanted).clamp(1, len(log) - 1)
        share = (wanted - log[after - 1]) / (log[after] - log[after - 1])
        t = torch.lerp(times[after - 1], times[after], share).to(x.dtype)
        alpha = self._denoiser.schedule(t)[0].to(x.dtype).view(-1, 1, 1, 1)
        mean: Tensor = self._denoiser(alpha * x, t).mean
        return mean.to(x.dtype)


def from_deepinv(denoiser: Any, *, channels: int | None = 3, multiple_of: int = 1) -> Prior:
    """Make a prior of a denoiser of the deepinv library (any object that behaves as one).

    It is called as ``denoiser(image, sigma)`` with images in [0, 1] and sigma (B,), in their
    units.
    """
    return from_denoiser(denoiser, channels=channels, multiple_of=multiple_of)


def sigmas_of(alpha_bar: Sequence[float] | Tensor) -> list[float]:
    """Return s / a of every step of a table alpha_bar (T,), which increases.

    Raises
    ------
    PluginError
        alpha_bar does not decrease strictly between 1 and 0.
    """
    try:
        values = [float(value) for value in alpha_bar]
    except (TypeError, ValueError, RuntimeError) as error:
        raise PluginError(f"alpha_bar cannot be read: {error}") from error
    decreasing = all(b < a for a, b in pairwise(values))
    if not values or not decreasing or values[0] >= 1 or values[-1] <= 0:
        raise PluginError("alpha_bar must decrease strictly and lie between 0 and 1")
    return [math.sqrt((1 - value) / value) for value in values]
