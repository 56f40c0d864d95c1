"""Observations one after another: blur, then fewer pixels, then noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import UsageError
from .observation import BaseObservation, Identity, Observation, StartedObservation

if TYPE_CHECKING:
    from torch import Tensor


class Chain(BaseObservation):
    """Started observations as one: y = M (A_n ... A_1 c + n), M and n what all say together.

    What a mask hides and how much noise there is, is said of y, wherever in the chain. ``prox`` is
    the closed form of the one operator, where there is one and nobody else hides anything.

    Attributes
    ----------
    operators
        A_1 ... A_n; none where the scene is shown as it is, but for noise and what is hidden.
    """

    def __init__(self, parts: Sequence[StartedObservation]) -> None:
        self.operators = tuple(part for part in parts if not isinstance(part, Identity))
        self.sigma = math.hypot(*(part.sigma for part in parts))
        masks = [part.mask for part in parts if part.mask is not None]
        self.mask = math.prod(masks[1:], start=masks[0]) if masks else None
        norms = [getattr(part, "norm", None) for part in self.operators]
        known = [norm for norm in norms if norm is not None]
        self.norm = math.prod(known) if len(known) == len(norms) else None
        hides = [part for part in parts if part.mask is not None]
        alone = len(self.operators) == 1 and all(part in self.operators for part in hides)
        self._closed = self.operators[0] if alone else None

    def A(self, c: Tensor) -> Tensor:  # noqa: N802 - the operator's name
        """Return A_n ... A_1 c."""
        for part in self.operators:
            c = part.A(c)
        return c

    def adjoint(self, y: Tensor) -> Tensor:
        """Return A_1^T ... A_n^T y."""
        for part in reversed(self.operators):
            y = part.adjoint(y)
        return y

    def prox(self, z: Tensor, y: Tensor, rho: float) -> Tensor:
        """Return the minimiser, in closed form where there is one."""
        if self._closed is not None:
            return self._closed.prox(z, y, rho)
        if not self.operators:
            return Identity(mask=self.mask).prox(z, y, rho)
        return super().prox(z, y, rho)


def start_chain(
    observations: Sequence[Observation], y: Tensor, size: tuple[int, int]
) -> StartedObservation:
    """Start observations on one source, each on what those before it make of the fused grid.

    Parameters
    ----------
    observations
        From the scene to the sensor; none for a source that shows the scene as it is.
    y
        (B, C, h, w) in [-1, 1], NaN where nothing was measured.
    size
        (H, W) of the fused grid.

    Raises
    ------
    UsageError
        They do not make images of the source's size, or hide everything, or ``y`` holds NaN
        that they do not hide.
    """
    parts: list[StartedObservation] = []
    at = size
    for observation in observations:
        parts.append(observation.start(y, at))
        if not isinstance(parts[-1], Identity):
            at = _measured_size(parts[-1], y, at)
    chain = Chain(parts)
    measured = (int(y.shape[-2]), int(y.shape[-1]))
    if at != measured:
        raise UsageError(
            f"images of {_pixels(size)} are so measured as {_pixels(at)}, but the source has "
            f"{_pixels(measured)}" + (": add downsample" if at[0] > measured[0] else "")
        )
    _check_mask(chain.mask, y)
    return chain


def _check_mask(mask: Tensor | None, y: Tensor) -> None:
    if mask is not None and not bool((mask > 0).flatten(1).any(1).all()):
        raise UsageError("the mask hides everything")
    missing = y.isnan().any(1, keepdim=True)
    if bool((missing if mask is None else missing & (mask > 0)).any()):
        raise UsageError("nothing was measured at some pixels: add mask=missing")


def _measured_size(part: StartedObservation, y: Tensor, size: tuple[int, int]) -> tuple[int, int]:
    made = part.A(y.new_zeros(1, 1, *size))
    return int(made.shape[-2]), int(made.shape[-1])


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]} pixels"
