"""Observations: how a source was measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .kind import Kind

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class Observation(Protocol):
    """How one source was measured: y = A c + n, with A linear, n white of ``sigma``, where known.

    :class:`fusionkit.BaseObservation` is a base, whose ``prox`` is by conjugate gradients.
    """

    sigma: float
    """Standard deviation of n, in units of images in [-1, 1]; 0 for none."""

    mask: Tensor | None
    """(B or 1, 1, h, w) of y's own grid, in [0, 1]: where it says something; None for all over."""

    def A(self, c: Tensor) -> Tensor:  # noqa: N802 - the operator's name
        """Return what would be measured of images (B, C, H, W), without noise: (B, C, h, w)."""
        ...

    def adjoint(self, y: Tensor) -> Tensor:
        """Return A^T y: <A c, y> = <c, adjoint(y)> for all c and y."""
        ...

    def prox(self, z: Tensor, y: Tensor, rho: float) -> Tensor:
        """Return argmin_c of the sum of mask (A c - y)² / 2 and rho (c - z)² / 2; rho > 0."""
        ...


class BaseObservation:
    """A base for observations: no noise, nothing masked, and prox by conjugate gradients.

    Subclasses implement ``A`` and ``adjoint``; ``prox`` where there is a closed form.
    """

    sigma: float = 0.0
    mask: Tensor | None = None
    iterations = 50
    """Of conjugate gradients, at most; as many are run whatever the image."""

    def A(self, c: Tensor) -> Tensor:  # noqa: N802 - the operator's name
        """Return what would be measured of images."""
        raise NotImplementedError

    def adjoint(self, y: Tensor) -> Tensor:
        """Return A^T y."""
        raise NotImplementedError

    def masked(self, y: Tensor) -> Tensor:
        """Return a measurement without what is unknown."""
        return y if self.mask is None else y * self.mask

    def prox(self, z: Tensor, y: Tensor, rho: float) -> Tensor:
        """Solve (A^T M A + rho) c = A^T M y + rho z, image by image, from z (M the mask)."""
        dims = tuple(range(1, z.ndim))

        def normal(c: Tensor) -> Tensor:
            return self.adjoint(self.masked(self.A(c))) + rho * c

        c = z
        residual = self.adjoint(self.masked(y)) + rho * z - normal(c)
        direction, power = residual, residual.square().sum(dims, keepdim=True)
        least = power.new_tensor(1e-30)  # where an image is solved, nothing moves any more
        for _ in range(self.iterations):
            along = normal(direction)
            rate = power / (direction * along).sum(dims, keepdim=True).maximum(least)
            c = c + rate * direction
            residual = residual - rate * along
            after = residual.square().sum(dims, keepdim=True)
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
        known = 1.0 if self.mask is None else self.mask
        return (known * y + rho * z) / (known + rho)


OBSERVATION = Kind(
    group="observation",
    title="observation",
    hook="fusionkit_observations",
    summary="how a source was measured",
    protocol=Observation,
)
"""The kind of observations: how a source was measured."""
