"""Observations: how a source was measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .kind import Kind

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class StartedObservation(Protocol):
    """How one source was measured: y = A c + n, with A linear, n white of ``sigma``, where known.

    :class:`fusionkit.BaseObservation` is a base, whose ``prox`` is by conjugate gradients.
    """

    sigma: float
    """Standard deviation of n, in units of images in [-1, 1]; 0 for none."""

    mask: Tensor | None
    """(B or 1, 1, h, w) of y's own grid, in [0, 1]: how much it says there, 0 for nothing.
    Between them it is a share of n's precision: n has a variance of sigma² / mask. None for 1."""

    def A(self, c: Tensor) -> Tensor:  # noqa: N802 - the operator's name
        """Return what would be measured of images (B, C, H, W), without noise: (B, C, h, w)."""
        ...

    def adjoint(self, y: Tensor) -> Tensor:
        """Return A^T y: <A c, y> = <c, adjoint(y)> for all c and y."""
        ...

    def prox(self, z: Tensor, y: Tensor, rho: float) -> Tensor:
        """Return argmin_c of the sum of mask (A c - y)² / 2 and rho (c - z)² / 2; rho > 0.

        ``y`` is finite everywhere, also where ``mask`` is 0.
        """
        ...


@runtime_checkable
class Observation(Protocol):
    """How a kind of source is measured, whatever its size: what components build."""

    def start(self, y: Tensor, size: tuple[int, int]) -> StartedObservation:
        """Return how this source was measured of images of this size.

        Parameters
        ----------
        y
            The source, (B, C, h, w) in [-1, 1]; NaN where nothing was measured. It may be
            looked at, for its noise or its dead pixels.
        size
            (H, W) of the images that it is measured of: the fused grid, or in a chain what the
            observation before makes of that.

        Raises
        ------
        UsageError
            No image of that size is so measured; one line says what does not fit.
        """
        ...


class BaseObservation:
    """A base for observations: no noise, nothing masked, and prox by conjugate gradients.

    Subclasses implement ``A`` and ``adjoint``; ``prox`` where there is a closed form. One that is
    the same for every source is started by itself; others implement ``start``, and may
    return another object of this base.
    """

    sigma: float = 0.0
    mask: Tensor | None = None
    iterations = 50
    """Of conjugate gradients, at most; as many are run whatever the image."""

    norm: float | None = None
    """No less than the greatest of |A c|² / |c|², where it is known: conjugate gradients then
    run no further than it takes for a millionth of the error, and up to ten times as far."""

    def start(self, y: Tensor, size: tuple[int, int]) -> StartedObservation:
        """Return this observation, which is the same for every source."""
        return self

    def A(self, c: Tensor) -> Tensor:  # noqa: N802 - the operator's name
        """Return what would be measured of images."""
        raise NotImplementedError

    def adjoint(self, y: Tensor) -> Tensor:
        """Return A^T y."""
        raise NotImplementedError

    def masked(self, y: Tensor) -> Tensor:
        """Return a measurement without what is unknown."""
        return y if self.mask is None else y * self.mask.to(y)

    def prox(self, z: Tensor, y: Tensor, rho: float) -> Tensor:
        """Solve (A^T M A + rho) c = A^T M y + rho z, image by image, from z (M the mask)."""

        def normal(c: Tensor) -> Tensor:
            return self.adjoint(self.masked(self.A(c))) + rho * c

        right = self.adjoint(self.masked(y)) + rho * z
        return conjugate_gradients(normal, right, z, self._iterations(rho))

    def _iterations(self, rho: float) -> int:
        """Return how many it takes: the error falls by (sqrt(κ) - 1) / (sqrt(κ) + 1) in each."""
        if self.norm is None:
            return self.iterations
        enough = math.sqrt(1 + self.norm / rho) / 2 * math.log(2e6)
        return min(math.ceil(enough), 10 * self.iterations)


def conjugate_gradients(
    normal: Callable[[Tensor], Tensor], right: Tensor, begin: Tensor, iterations: int
) -> Tensor:
    """Solve N c = b, image by image, N linear, symmetric and positive; reads nothing back.

    Parameters
    ----------
    normal
        N, of images (B, C, H, W).
    right, begin
        b, and where to begin.
    iterations
        How many are run, whatever the images.
    """
    from ..ops.windows import image_mean  # needs torch

    def total(product: Tensor) -> Tensor:
        return image_mean(product, (1, 2, 3), keepdim=True)

    c = begin
    residual = right - normal(c)
    direction, power = residual, total(residual.square())
    least = power.new_tensor(1e-35)  # where an image is solved, nothing moves any more
    if c.device.type == "meta":  # without values every iteration is the first again
        iterations = min(iterations, 2)
    for _ in range(iterations):
        along = normal(direction)
        rate = power / total(direction * along).maximum(least)
        c = c + rate * direction
        residual = residual - rate * along
        after = total(residual.square())
        direction = residual + after / power.maximum(least) * direction
        power = after
    return c


class Identity(BaseObservation):
    """A source that shows the scene as it is: y = c + n."""

    def __init__(self, sigma: float = 0.0, mask: Tensor | None = None) -> None:
        self.sigma = sigma
        self.mask = mask

    def A(self, c: Tensor) -> Tensor:  # noqa: N802
        """Return the images."""
        return c

    def adjoint(self, y: Tensor) -> Tensor:
        """Return the images."""
        return y

    def prox(self, z: Tensor, y: Tensor, rho: float) -> Tensor:
        """Return (m y + rho z) / (m + rho), m the mask."""
        known = 1.0 if self.mask is None else self.mask.to(z)
        return (known * y + rho * z) / (known + rho)


OBSERVATION = Kind(
    group="observation",
    title="observation",
    hook="fusionkit_observations",
    summary="how a source was measured",
    protocol=Observation,
)
"""The kind of observations."""
