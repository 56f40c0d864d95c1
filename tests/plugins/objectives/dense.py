"""Slow references for DDFM's EM on small images: explicit matrices, NumPy, pixel by pixel.

Nothing is shared with the plugin. Images are (H, W) arrays; matrices act on them flattened.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
EPSILON = 1e-3


def differences(H: int, W: int, periodic: bool = False) -> tuple[Array, Array]:
    """The matrices of the differences to the right neighbour and to the one below."""
    right, below = np.zeros((2, H * W, H * W))
    for y in range(H):
        for x in range(W):
            here = y * W + x
            if x + 1 < W or periodic:
                right[here, here] -= 1
                right[here, y * W + (x + 1) % W] += 1
            if y + 1 < H or periodic:
                below[here, here] -= 1
                below[here, (y + 1) % H * W + x] += 1
    return right, below


def joint_energy(
    f: Array,
    u: Array,
    sources: Array,
    weights: Array,
    x0: Array,
    rho: float,
    psi: float,
    eta: float,
) -> float:
    """J(f, u) as the objective's documentation has it, the gradient term source by source."""
    right, below = differences(*f.shape)
    total = eta / 2 * np.sum((f - u) ** 2) + rho / 2 * np.sum((f - x0) ** 2)
    for c, w in zip(sources, weights, strict=True):
        d = (f - c).ravel()
        total += np.sum(w * np.sqrt((u - c) ** 2 + EPSILON**2))
        total += psi * np.sum(w.ravel() * ((right @ d) ** 2 + (below @ d) ** 2))
    return float(total)


def symmetric(
    f: Array,
    u: Array,
    sources: Array,
    weights: Array,
    x0: Array,
    rho: float,
    psi: float,
    eta: float,
    iterations: int,
) -> tuple[Array, Array]:
    """Alternate between u, pixel by pixel, and f, by the normal equations written out."""
    H, W = f.shape
    right, below = differences(H, W)
    matrix = (eta + rho) * np.eye(H * W)
    from_sources = np.zeros(H * W)
    for c, w in zip(sources, weights, strict=True):
        for D in (right, below):
            weighted = 2 * psi * D.T @ np.diag(w.ravel())
            matrix += weighted @ D
            from_sources += weighted @ (D @ c.ravel())
    for _ in range(iterations):
        new = np.empty_like(u)
        for y in range(H):
            for x in range(W):
                top, bottom = eta * f[y, x], eta
                for c, w in zip(sources, weights, strict=True):
                    m = w[y, x] / np.hypot(u[y, x] - c[y, x], EPSILON)
                    top, bottom = top + m * c[y, x], bottom + m
                new[y, x] = top / bottom
        u = new
        side = eta * u.ravel() + rho * x0.ravel() + from_sources
        f = np.linalg.solve(matrix, side).reshape(H, W)
    return f, u


class Paper:
    """The paper's EM for one image: x = f - v, y = i - v."""

    def __init__(self, i: Array, v: Array, psi: float, eta: float, learn: bool) -> None:
        self.i, self.v, self.psi, self.eta, self.learn = i, v, psi, eta, learn
        self.D = differences(*i.shape)
        self.u = [np.zeros(i.size) for _ in self.D]
        self.gamma = self.rho = 1.0

    def one_pass(self, f: Array, w: Array, prior: float, x0: Array) -> Array:
        x, y = (f - self.v).ravel(), (self.i - self.v).ravel()
        m2 = np.sqrt(2 / self.gamma) / np.hypot(y - x, EPSILON)
        n2 = np.sqrt(2 / self.rho) / np.hypot(x, EPSILON)
        if self.learn:
            self.gamma = float(np.mean(1 / m2 + self.gamma / 2))
            self.rho = float(np.mean(1 / n2 + self.rho / 2))
        matrix = np.eye(x.size) + sum(D.T @ D for D in self.D)
        k = np.linalg.solve(matrix, x + sum(D.T @ u for D, u in zip(self.D, self.u, strict=True)))
        self.u = [self.eta / (2 * self.psi + self.eta) * D @ k for D in self.D]
        m2, n2 = 2 * w[0].ravel() * m2, 2 * w[1].ravel() * n2
        top = 2 * m2 * y + self.eta * k + prior * (x0 - self.v).ravel()
        return self.v + (top / (2 * m2 + 2 * n2 + self.eta + prior)).reshape(f.shape)


class Released:
    """The released code's step for one image, from its description: it returns i - X."""

    def __init__(self, i: Array, v: Array, psi: float, eta: float) -> None:
        self.i, self.v, self.psi, self.eta = i, v, psi, eta
        self.D = differences(*i.shape, periodic=True)
        self.u = [np.zeros(i.size) for _ in self.D]
        self.gamma = self.rho = 1.0

    def one_pass(self, f: Array, w: Array) -> Array:
        X, Y = (f - self.v).ravel(), (self.i - self.v).ravel()
        C = np.sqrt(2 / self.gamma) / np.abs(Y - X + 1e-6)
        D = np.sqrt(2 / self.rho / (X**2 + 1e-6))
        D = np.where(D > 2 * C, 2 * C, D)
        self.gamma = float(np.mean(1 / C + self.gamma / 2))
        self.rho = float(np.mean(1 / D + self.rho / 2))
        matrix = np.eye(X.size) + sum(d.T @ d for d in self.D)
        side = Y - X + sum(d.T @ u for d, u in zip(self.D, self.u, strict=True))
        H = np.linalg.solve(matrix, side).reshape(f.shape)
        scale = self.eta / (2 * self.psi + self.eta)
        beyond_right = np.concatenate([H[:, 1:], np.zeros((H.shape[0], 1))], 1)
        beyond_below = np.concatenate([H[1:], np.zeros((1, H.shape[1]))], 0)
        self.u = [scale * (H - beyond_right).ravel(), scale * (H - beyond_below).ravel()]
        C, D = 2 * w[0].ravel() * C, 2 * w[1].ravel() * D
        top = 2 * C * Y + self.eta * (Y - H.ravel())
        return self.i - (top / (2 * C + 2 * D + self.eta)).reshape(f.shape)
