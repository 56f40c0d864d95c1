"""The symmetric form of DDFM's EM: weighted l1 distances and gradients of any number of sources."""

from __future__ import annotations

from torch import Tensor

from fusionkit import Run, StartedObjective, Step, proximal_weights

from .differences import Gradient, gradient, gradient_transposed, solve_screened

EPSILON = 1e-3
"""Rounds off |d| to sqrt(d² + ε²): an eighth of a grey level of 255, whose step is 2/255."""


class DdfmEm:
    """The EM objective of DDFM for K sources that all play the same part.

        E(f) = Σ_k w_k |f - c_k|₁ + psi Σ_k w_k |∇(f - c_k)|²,

    to which the proximal term rho_i/2 |f - x0|² is added. DDFM (Zhao et al., ICCV
    2023, section 3.3) has K = 2 and unequal parts, see :mod:`.ddfm_published`.

    *Gradient term.* The weights sum to one at every pixel, so the term is, up to a
    constant, psi |∇f - g|² with g = Σ_k w_k ∇c_k: the weights, though they vary
    over the image, are all in g, and the term's normal equations have constant
    coefficients. A cosine transform solves them exactly.

    *Data term.* It is kept apart by half-quadratic splitting: u takes the l1 term,
    f the rest, and the coupling eta/2 |f - u|² ties them. Jointly,

        J(f, u) = Σ_k w_k |u - c_k|₁ + eta/2 |f - u|² + psi |∇f - g|² + rho/2 |f - x0|².

    One iteration lowers J block by block:

        E: m_k = w_k / sqrt((u - c_k)² + ε²)         Laplace as a Gaussian scale mixture
        M: u   = (Σ_k m_k c_k + eta f) / (Σ_k m_k + eta)                    per pixel
           f   = (eta + rho + 2 psi ∇ᵀ∇)⁻¹ (eta u + rho x0 + 2 psi ∇ᵀg)    cosine transform

    J is convex, and its f is that of E with each pixel's l1 term replaced by its
    Moreau envelope of width 1/eta. u, the state of the EM, is carried from one
    sampling step to the next; f begins at x0, as in DDFM, or with a strength of
    zero at the f of the step before.

    Parameters
    ----------
    strength
        lambda, see :func:`fusionkit.proximal_weights`.
    psi
        Weight of the gradient term.
    eta
        Weight of the coupling.
    iterations
        Per sampling step.
    """

    def __init__(
        self,
        strength: float = 0.0,
        psi: float = 100.0,
        eta: float = 4.0,
        iterations: int = 5,
    ) -> None:
        self.strength = strength
        self.psi = psi
        self.eta = eta
        self.iterations = iterations
        self.uses_trajectory = strength > 0

    def start(self, run: Run) -> StartedObjective:
        """Begin a run: the gradients of the sources are taken once."""
        return _StartedDdfmEm(self, run)


class _StartedDdfmEm:
    def __init__(self, objective: DdfmEm, run: Run) -> None:
        self.objective = objective
        self.run = run
        self.rho = proximal_weights(run, objective.strength)
        self.gradients = gradient(run.sources)
        self._u: Tensor | None = None
        self._f: Tensor | None = None

    def initial(self, weights: Tensor) -> Tensor:
        """Return the weighted mean of the sources."""
        return (weights * self.run.sources).sum(0)

    def rectify(self, step: Step, weights: Tensor) -> Tensor:
        """Return f after some iterations of EM."""
        sources, eta, psi = self.run.sources, self.objective.eta, self.objective.psi
        rho = self.rho[step.index]
        if rho > 0:
            f, pull = step.x0, rho * step.x0
        else:
            f, pull = self.initial(weights) if self._f is None else self._f, None
        u = f if self._u is None else self._u
        right, below = (weights * each for each in self.gradients)
        fixed = 2 * psi * gradient_transposed(Gradient(right.sum(0), below.sum(0)))
        if pull is not None:
            fixed = fixed + pull
        for _ in range(self.objective.iterations):
            precision = weights / ((u - sources).square() + EPSILON**2).sqrt()
            u = ((precision * sources).sum(0) + eta * f) / (precision.sum(0) + eta)
            f = solve_screened(eta * u + fixed, eta + rho, 2 * psi)
        self._u, self._f = u, f
        return f
