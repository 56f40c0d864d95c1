"""Fewer pixels than the scene: any ratio of sizes, by matrices for rows and for columns."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionkit import BaseObservation, Chain, StartedObservation, UsageError

from .blur import Blur
from .psf import PSF


class Downsample:
    """A sensor of fewer pixels that sees the same field.

    Parameters
    ----------
    factor
        How many times fewer pixels along an axis; 0 is what the sizes say.
    kernel
        ``box``, ``gaussian`` or ``point``: what a pixel sees.
    sigma
        Of the Gaussian, in pixels of the sensor.
    psf
        What a point is blurred by before it is seen.
    """

    def __init__(
        self, factor: float = 0.0, kernel: str = "box", sigma: float = 0.5, psf: PSF | None = None
    ) -> None:
        self._factor = factor
        self._kernel = kernel
        self._sigma = sigma
        self._psf = psf

    def start(self, y: Tensor, size: tuple[int, int]) -> StartedObservation:
        """Return it between two sizes; raise UsageError if one is no smaller form of the other."""
        smaller = self._smaller(size, (int(y.shape[-2]), int(y.shape[-1])))
        fewer = Fewer(size, smaller, self._kernel, self._sigma)
        return fewer if self._psf is None else Chain([Blur(self._psf).start(y, size), fewer])

    def _smaller(self, size: tuple[int, int], measured: tuple[int, int]) -> tuple[int, int]:
        """Return the size of what is measured: the source's, or in a longer chain the factor's."""
        (H, W), (h, w) = size, measured
        if self._factor:
            smaller = (max(1, round(H / self._factor)), max(1, round(W / self._factor)))
            near = all(abs(a - b) <= 1 for a, b in zip(smaller, measured, strict=True))
            return measured if near else smaller
        if h > H or w > W:
            raise UsageError(f"{w} x {h} pixels are more than the {W} x {H} of the fused grid")
        if abs(H * w / W - h) > 1 and abs(W * h / H - w) > 1:
            raise UsageError(
                f"{w} x {h} pixels are no smaller form of {W} x {H}: their aspect ratios, "
                f"{w / h:.4g} and {W / H:.4g}, differ: crop one of them"
            )
        return measured


class Fewer(BaseObservation):
    """A c = V c U^T, with V (h, H) for rows and U (w, W) for columns; each row sums to 1.

    The minimiser is closed by the singular value decompositions V = P diag(s) Q^T of both: with
    r = y - A z, it is z + A^T (A A^T + rho)^-1 r, and A A^T has the eigenvalues s_i² t_j².

    Parameters
    ----------
    size, smaller
        (H, W) and (h, w).
    kernel, sigma
        As of :class:`Downsample`.
    """

    def __init__(
        self, size: tuple[int, int], smaller: tuple[int, int], kernel: str, sigma: float
    ) -> None:
        sides = zip(size, smaller, strict=True)
        self._down, self._across = (_Axis(_matrix(n, m, kernel, sigma)) for n, m in sides)
        self.norm = float((self._down.values.max() * self._across.values.max()).square())

    def A(self, c: Tensor) -> Tensor:  # noqa: N802 - the operator's name
        """Return what the sensor sees."""
        return self._down.matrix.to(c) @ c @ self._across.matrix.to(c).mT

    def adjoint(self, y: Tensor) -> Tensor:
        """Return A^T y."""
        return self._down.matrix.to(y).mT @ y @ self._across.matrix.to(y)

    def prox(self, z: Tensor, y: Tensor, rho: float) -> Tensor:
        """Return the minimiser."""
        down, across = self._down.to(z), self._across.to(z)
        gains = down.values[:, None] * across.values
        left = down.left.mT @ y @ across.left - gains * (down.right @ z @ across.right.mT)
        moved = gains / (gains.square() + rho) * left
        return z + down.right.mT @ moved @ across.right


class _Axis:
    """A matrix (n, N), and its singular values and vectors: left (n, n), right (n, N)."""

    def __init__(self, matrix: NDArray[np.float64]) -> None:
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        parts = (torch.from_numpy(part) for part in (matrix, left, values, right))
        self.matrix, self.left, self.values, self.right = parts

    def to(self, like: Tensor) -> _Axis:
        """Return it in the precision, and on the device, of images."""
        other = object.__new__(_Axis)
        for name, part in vars(self).items():
            setattr(other, name, part.to(like))
        return other


def _matrix(fine: int, coarse: int, kernel: str, sigma: float) -> NDArray[np.float64]:
    """Return how much of every fine pixel a coarse one sees, (coarse, fine)."""
    factor = fine / coarse
    edges = np.arange(fine + 1.0)
    centres = (np.arange(coarse) + 0.5)[:, None] * factor
    if kernel == "box":  # what lies left of an edge, of the coarse pixel
        below = np.clip(edges - centres + factor / 2, 0, factor)
    elif kernel == "gaussian":
        erf = np.vectorize(math.erf, otypes=[float])
        below = erf((edges - centres) / (sigma * factor * math.sqrt(2)))
    else:  # linear between the two nearest centres, whose weights are a triangle of two pixels
        at = np.clip(centres, 0.5, fine - 0.5)
        weights = np.clip(1 - np.abs(edges[:-1] + 0.5 - at), 0, None)
        return np.asarray(weights / weights.sum(1, keepdims=True))
    weights = np.diff(below, axis=1)
    return np.asarray(weights / weights.sum(1, keepdims=True))
