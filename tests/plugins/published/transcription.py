"""The published methods, written down again from their papers: NumPy, one image, small and slow.

Nothing is shared with the plugins but, for DDFM, the pass of EM in explicit matrices
(:mod:`tests.plugins.objectives.dense`). Images are (H, W) float64 arrays in [-1, 1]; the loop is
in the papers' own terms, x_t = a x0 + s eps with a² + s² = 1. The prior is that of white Gaussian
images of variance V, whose estimate is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..objectives import dense

Array = NDArray[np.float64]
V = 0.25


def estimate(x: Array, sigma: float) -> Array:
    """The posterior mean of x0 in x = x0 + sigma n."""
    return V / (V + sigma**2) * x


def ddim(
    x: Array, sigmas: Sequence[float], correct: Callable[[int, Array], Array], uncorrected: bool
) -> list[Array]:
    """The corrected estimates of all steps of DDIM (eta = 0) from x at the first level."""
    results = []
    x_t = x / np.sqrt(1 + sigmas[0] ** 2)
    for t, sigma in enumerate(sigmas[:-1]):
        a = 1 / np.sqrt(1 + sigma**2)
        s = np.sqrt(1 - a**2)
        predicted = (x_t - a * estimate(x_t / a, sigma)) / s  # the network's output
        x0 = (x_t - s * predicted) / a
        f = correct(t, x0)
        results.append(f)
        eps = predicted if uncorrected else (x_t - a * f) / s
        after = 1 / np.sqrt(1 + sigmas[t + 1] ** 2)
        x_t = after * f + np.sqrt(1 - after**2) * eps
    return results


def dig_weights(
    sources: Sequence[Array], noise: Array, sigmas: Sequence[float], stride: int
) -> list[list[Array]]:
    """The weights of every step: softmax of what the squared error falls by in S steps."""

    def error(c: Array, level: int) -> Array:
        if sigmas[level] == 0:
            return np.zeros_like(c)
        a = 1 / np.sqrt(1 + sigmas[level] ** 2)
        noised = a * c + np.sqrt(1 - a**2) * noise
        return (estimate(noised / a, sigmas[level]) - c) ** 2

    steps = len(sigmas) - 1
    weights = []
    for t in range(steps):
        due = t // stride * stride
        gains = [error(c, due) - error(c, min(due + stride, steps)) for c in sources]
        raised = [np.exp(gain) for gain in gains]
        weights.append([each / sum(raised) for each in raised])
    return weights


class Ddfm:
    """DDFM's correction: one pass of EM from the clean estimate, equal scales."""

    def __init__(self, i: Array, v: Array, weights: Sequence[Sequence[Array]]) -> None:
        self.em = dense.Paper(i, v, 0.5, 0.01, learn=False)
        self.weights = weights

    def __call__(self, t: int, x0: Array) -> Array:
        return self.em.one_pass(x0, np.stack(self.weights[t]), 0.0, x0)


class Ccf:
    """CCF's correction for two sources of equal weight: one step of a lasting Adam."""

    def __init__(self, first: Array, second: Array) -> None:
        self.sources = first, second
        self.w = np.ones(8)
        self.m = np.zeros_like(first)
        self.v = np.zeros_like(first)
        self.L_0: Array | None = None

    def losses(self, f: Array) -> Array:
        c1, c2 = self.sources
        (low1, high1), (low2, high2), (low, high) = haar(c1), haar(c2), haar(f)
        # Averaged by their energy: all but the larger of the two.
        e1, e2 = high1**2 / 4 + 1e-12, high2**2 / 4 + 1e-12
        chosen = (e1 * high1 + e2 * high2) / (e1 + e2)
        edges = np.maximum(sobel(c1), sobel(c2))
        return np.array(
            [
                1 - (ssim(f, c1) + ssim(f, c2)) / 2,
                (np.mean((f - c1) ** 2) + np.mean((f - c2) ** 2)) / 2,
                np.mean((sobel(f) - edges) ** 2),
                (np.mean((low - low1) ** 2) + np.mean((low - low2) ** 2)) / 2,
                np.mean((high - chosen) ** 2),
                -np.sqrt(squares(f[1:] - f[:-1], f) + squares(f[:, 1:] - f[:, :-1], f) + 1e-6),
                -8 * np.mean(sobel(f)),
                -np.sqrt(np.var(f) + 1e-6),
            ]
        )

    def slopes(self, f: Array, h: float = 1e-6) -> Array:
        """Of every loss by central differences, (8, H, W)."""
        found = np.empty((8, *f.shape))
        for place in np.ndindex(f.shape):
            up, down = f.copy(), f.copy()
            up[place] += h
            down[place] -= h
            found[(slice(None), *place)] = (self.losses(up) - self.losses(down)) / (2 * h)
        return found

    def __call__(self, t: int, x0: Array) -> Array:
        L_t, slopes = self.losses(x0), self.slopes(x0)
        if self.L_0 is None:
            self.L_0 = L_t
        top = [j for j in range(8) if self.w[j] >= np.sort(self.w)[-3]]
        total = sum(self.w[j] * slopes[j] for j in top) + 3 * slopes[1]
        self.m = 0.9 * self.m + 0.1 * total
        self.v = 0.999 * self.v + 0.001 * total**2
        m_hat, v_hat = self.m / (1 - 0.9 ** (t + 1)), self.v / (1 - 0.999 ** (t + 1))
        f = x0 - 0.03 * m_hat / (np.sqrt(v_hat) + 1e-8)
        # GradNorm: L1 between w_j |slope_j| and its target, descended by one step of rate 1.
        norms = np.sqrt((slopes**2).sum((1, 2)))
        r = L_t / self.L_0
        target = np.mean(self.w * norms) * (r / r.mean()) ** 1.5
        self.w = self.w - np.sign(self.w * norms - target) * norms / 8
        self.w = self.w / self.w.sum() * 8
        return f


def squares(differences: Array, f: Array) -> float:
    """Their sum per pixel of the image."""
    return float((differences**2).sum() / f.size)


def sobel(f: Array) -> Array:
    """Sobel's magnitude per unit step, borders replicated."""
    p = np.pad(f, 1, mode="edge")
    H, W = f.shape
    across, down = np.zeros_like(f), np.zeros_like(f)
    for k, weight in enumerate((1, 2, 1)):
        across += weight * (p[k : k + H, 2:] - p[k : k + H, :-2]) / 8
        down += weight * (p[2:, k : k + W] - p[:-2, k : k + W]) / 8
    magnitude: Array = np.sqrt(across**2 + down**2 + 1e-6)
    return magnitude


def haar(f: Array) -> tuple[Array, Array]:
    """Orthonormal Haar bands at every pixel, the low one and three high ones."""
    p = np.pad(f, ((0, 1), (0, 1)), mode="edge")
    a, b, c, d = p[:-1, :-1], p[:-1, 1:], p[1:, :-1], p[1:, 1:]
    return (a + b + c + d) / 2, np.stack([a - b + c - d, a + b - c - d, a - b - c + d]) / 2


def ssim(f: Array, c: Array) -> float:
    """Wang's, with windows of 7 x 7 that the border cuts off, for a span of 2."""
    H, W = f.shape
    values = []
    for y, x in np.ndindex(H, W):
        window = slice(max(0, y - 3), y + 4), slice(max(0, x - 3), x + 4)
        p, q = f[window], c[window]
        C1, C2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
        luminance = (2 * p.mean() * q.mean() + C1) / (p.mean() ** 2 + q.mean() ** 2 + C1)
        covariance = np.mean((p - p.mean()) * (q - q.mean()))
        values.append(luminance * (2 * covariance + C2) / (p.var() + q.var() + C2))
    return float(np.mean(values))
