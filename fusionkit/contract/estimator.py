"""Noise estimators: pretrained diffusion priors, or priors in closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .kind import Kind, members

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class NoiseEstimator(Protocol):
    """A diffusion prior: the denoiser of white noise that a pretrained model is at every level.

    Whatever its own parametrisation, it sees x = x0 + sigma n, with x0 in [-1, 1] and n standard
    normal, and estimates x0; the noise of the papers follows, eps = (x - x0) / sigma. Equal
    inputs give equal outputs; images of a batch do not interact. :class:`fusionkit.Prior` is a
    base with what it may have besides; :func:`fusionkit.from_epsilon`,
    :func:`fusionkit.from_velocity`, :func:`fusionkit.from_denoiser`, :func:`fusionkit.from_azula`
    and :func:`fusionkit.from_deepinv` make priors of what there is.
    """

    @property
    def channels(self) -> int | None:
        """C; None for any number.

        Of one: each channel of an image is estimated by itself. Of three: grey sources are
        replicated, and averaged back.
        """

    multiple_of: int
    """Height and width must be multiples of this; the host pads by mirroring, and crops back."""

    sigma_min: float
    """The least level that it knows: 0 if any."""

    sigma_max: float
    """The greatest: a run that starts beyond it is refused. Infinite if any."""

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Estimate x0.

        ``x`` is (B, C, H, W), ``sigma`` (B,) > 0, on the same device and of the same dtype. The
        result has the shape of ``x``; a network that computes in a lower precision casts inside.
        """
        ...


class BaseEstimator:
    """What a noise estimator has unless it says otherwise; it need not inherit this.

    Attributes
    ----------
    weights_sha256
        The hash of its weights, for the record.
    pixels_per_pass
        How many pixels at most it wants in one call: the host splits batches. None leaves it to
        the host.
    pixels_per_tile
        How many of one image at most: the host splits a larger one into tiles, which overlap by
        64 pixels. None leaves it to the host.
    vjp
        ``vjp(x, sigma, cotangent)`` returns the estimate and J^T cotangent, J its Jacobian in x:
        for samplers that follow gradients. None if there is none.
    encode, decode
        Of a prior of latents, which then sees no images: ``encode(images)`` returns the latents
        (M, channels, h, w) of (M, 3, H, W) in [-1, 1], of any size, and
        ``decode(latents, (H, W))`` images of that size. None where images are their own latents.
    flops
        ``flops(height, width)`` is the operations for one image, for benchmarks.
    compiled
        Whether it was asked to compile its network, and did.
    """

    weights_sha256: str | None = None
    pixels_per_pass: int | None = None
    pixels_per_tile: int | None = None
    vjp: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    encode: Callable[[Tensor], Tensor] | None = None
    decode: Callable[[Tensor, tuple[int, int]], Tensor] | None = None
    flops: Callable[[int, int], int] | None = None
    compiled: bool = False


ESTIMATOR = Kind(
    group="estimator",
    title="noise estimator",
    hook="fusionkit_noise_estimators",
    summary="pretrained diffusion priors, or priors in closed form",
    protocol=NoiseEstimator,
    optional=members(BaseEstimator),
    in_recipes=True,
)
"""The kind of noise estimators."""
