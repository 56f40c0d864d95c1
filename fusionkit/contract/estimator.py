"""Noise estimators: pretrained diffusion priors, or priors in closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .kind import Kind, members

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class NoiseEstimator(Protocol):
    """A pretrained unconditional variance-preserving diffusion model.

    With ``a = sqrt(alpha_bar[t])`` and ``s = sqrt(1 - alpha_bar[t])`` it was
    trained on ``x = a * x0 + s * eps``, x0 in [-1, 1], and returns its estimate
    of eps. Equal inputs give equal outputs; images of a batch do not interact.
    """

    channels: int
    """C, 1 or 3. Grey sources are replicated to three channels and averaged back."""

    multiple_of: int
    """Height and width must be multiples of this; the host pads by mirroring, and crops back."""

    alpha_bar: Tensor
    """(T,) float64 on the CPU, strictly decreasing, in (0, 1); continuous models tabulate 1000."""

    # Optional: ``weights_sha256``, the hash of the weights, for the record;
    # ``pixels_per_pass``, how many pixels at most it wants in one call (the host
    # splits batches); ``pixels_per_tile``, how many of one image (the host splits a
    # larger one into tiles, which overlap by 64 pixels, or by ``receptive`` if that is
    # more); ``flops(height, width)``, its operations for one image, for benchmarks;
    # ``compiled``, true if it was asked to compile its network, and did.

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Estimate the noise.

        ``x`` is (B, C, H, W), ``t`` is (B,) int64 on the same device, indices
        into ``alpha_bar``. The result has the shape and dtype of ``x``; a
        network that computes in a lower precision casts inside.
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
        64 pixels, or by ``receptive`` if that is more. None leaves it to the host.
    receptive
        How many pixels tiles are to share at least.
    flops
        ``flops(height, width)`` is the operations for one image, for benchmarks.
    compiled
        Whether it was asked to compile its network, and did.
    """

    weights_sha256: str | None = None
    pixels_per_pass: int | None = None
    pixels_per_tile: int | None = None
    receptive: int = 0
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
