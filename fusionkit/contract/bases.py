"""Base classes: an objective that is a target, an observation that is a linear operator.

An objective corrects the clean estimate x0 of step i by the proximal map

    f = argmin_f E(f) + rho_i / 2 |f - x0|²,    rho_i = strength (sigma_min / sigma_i)²

(method: DiffPIR, arXiv 2305.08995). ``strength`` is the lambda of the literature:
how much the diffusion prior is trusted against the sources. 0 makes E's minimiser
a hard target, which the fused trajectory cannot influence.

Importing this module imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from .protocols import Run, Step


def proximal_weights(run: Run, strength: float) -> tuple[float, ...]:
    """Return rho_i for i = 0 ... N-1: at the last step, whose sigma is least, it is strength."""
    least = run.sigma[run.steps - 1]
    return tuple(strength * (least / sigma) ** 2 for sigma in run.sigma[: run.steps])


class StartedTarget:
    """A started objective that is a target.

    E(f) = |f - target|² / 2, so that the corrected estimate is

        f = (target + rho x0) / (1 + rho).

    Subclasses implement :meth:`target`, and :meth:`initial` if the first fusion
    is not the weighted mean of the sources.
    """

    def __init__(self, run: Run, strength: float) -> None:
        self.run = run
        self.rho = proximal_weights(run, strength)

    def target(self, step: Step, weights: Tensor) -> Tensor:
        """Return what the sources alone ask for at this step, (B, C, H, W)."""
        raise NotImplementedError

    def initial(self, weights: Tensor) -> Tensor:
        """Return the weighted mean of the sources."""
        from ..ops.channels import weighted_sum

        return weighted_sum(weights, self.run.sources)

    def rectify(self, step: Step, weights: Tensor) -> Tensor:
        """Return the proximal point between target and clean estimate."""
        target = self.target(step, weights)
        rho = self.rho[step.index]
        return target if rho == 0 else (rho * step.x0).add_(target).div_(1 + rho)


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
