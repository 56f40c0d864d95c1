"""The ``gaussian`` estimator against dense linear algebra."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.fft
import torch
from fusionkit_diffusion.gaussian import GaussianEstimator

SIZES = [(5, 6), (6, 5), (4, 4), (1, 7), (2, 2)]
BORDERS = ["mirror", "periodic"]
PRIOR = {"exponent": 1.7, "deviation": 0.4, "correlation": 3.0}


def basis_and_spectrum(
    height: int, width: int, border: str, *, exponent: float, deviation: float, correlation: float
) -> tuple[np.ndarray, np.ndarray]:
    """An orthonormal basis (n, n) of images as columns, and the prior's variance along each.

    Built from the definition: S(f) ∝ (f² + f_min²)^(-p/2) over the frequencies of the
    transform that belongs to the border, scaled to the pixels' mean variance.
    """
    n = height * width
    units = np.eye(n).reshape(n, height, width)
    if border == "mirror":
        rows, columns = np.arange(height) / (2 * height), np.arange(width) / (2 * width)
        vectors = scipy.fft.dctn(units, axes=(1, 2), norm="ortho")
    else:
        rows, columns = np.fft.fftfreq(height), np.fft.fftfreq(width)
        vectors = scipy.fft.fft2(units, norm="ortho")
    analysis = vectors.reshape(n, n).T  # column j is the transform of the j-th pixel alone
    least = 1 / (2 * np.pi * correlation)
    power = (rows[:, None] ** 2 + columns**2 + least**2) ** (-exponent / 2)
    power *= deviation**2 / power.mean()
    return analysis.conj().T, power.reshape(n)


def prior_covariance(height: int, width: int, border: str, **prior: float) -> np.ndarray:
    synthesis, power = basis_and_spectrum(height, width, border, **prior)
    covariance = (synthesis * power) @ synthesis.conj().T
    assert np.abs(covariance.imag).max() < 1e-12
    return covariance.real


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SIGMAS = (0.01, 0.4, 6.0, 157.0)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_it_is_the_posterior_mean(border: str, height: int, width: int) -> None:
    estimator = GaussianEstimator(**PRIOR, border=border)
    covariance = prior_covariance(height, width, border, **PRIOR)
    x = draw(len(SIGMAS), 1, height, width)
    x0 = estimator.denoise(x, torch.tensor(SIGMAS, dtype=torch.float64))
    assert x0.shape == x.shape
    assert x0.dtype == torch.float64
    for n, sigma in enumerate(SIGMAS):
        observed = covariance + sigma**2 * np.eye(height * width)
        # E[x0 | x] = Cov(x0, x) Cov(x)^-1 x, with Cov(x0, x) = C.
        expected = covariance @ np.linalg.solve(observed, x[n].numpy().ravel())
        assert np.abs(x0[n].numpy().ravel() - expected).max() < 1e-9


@pytest.mark.parametrize("border", BORDERS)
def test_its_gradient_is_the_transposed_filter(border: str) -> None:
    """The filter is symmetric, so that J^T c is what the filter makes of c."""
    estimator = GaussianEstimator(**PRIOR, border=border)
    x, cotangent = draw(2, 1, 5, 6), draw(2, 1, 5, 6, seed=1)
    sigma = torch.tensor([0.3, 2.0], dtype=torch.float64)
    x0, gradient = estimator.vjp(x, sigma, cotangent)
    assert torch.equal(x0, estimator.denoise(x, sigma))
    assert (gradient - estimator.denoise(cotangent, sigma)).abs().max() < 1e-12


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("prior", [PRIOR, {}], ids=["short correlation", "default"])
def test_a_pixel_has_the_deviation_asked_for(border: str, prior: dict[str, float]) -> None:
    # The prior's covariance is recovered from the estimator itself, as the host sees it:
    # x0 = D x with D = C (C + sigma² I)^-1, so that C = sigma² (I - D)^-1 D.
    estimator = GaussianEstimator(**prior, border=border)
    height, width = 6, 7
    n = height * width
    sigma = 3.0
    units = torch.eye(n, dtype=torch.float64).view(n, 1, height, width)
    levels = torch.full((n,), sigma, dtype=torch.float64)
    matrix = estimator.denoise(units, levels).reshape(n, n).numpy()
    covariance = sigma**2 * np.linalg.solve(np.eye(n) - matrix, matrix)
    deviation = prior.get("deviation", 0.5)
    assert np.trace(covariance) / n == pytest.approx(deviation**2, rel=1e-6)


@pytest.mark.parametrize("border", BORDERS)
def test_images_drawn_from_the_prior_have_the_right_deviation(border: str) -> None:
    # From its own spectrum, in the basis of the border: what the spectrum says, pixels have.
    height, width = 8, 9
    estimator = GaussianEstimator(**PRIOR, border=border)
    n = 2000
    white = draw(n, height, width).numpy()
    if border == "mirror":
        grid = estimator.spectrum(2 * height, 2 * width, torch.float64, torch.device("cpu"))
        power = grid.numpy()[:height, :width]
        images = scipy.fft.idctn(white * np.sqrt(power), axes=(1, 2), norm="ortho")
    else:
        power = estimator.spectrum(height, width, torch.float64, torch.device("cpu")).numpy()
        half = np.fft.rfft2(white, norm="ortho") * np.sqrt(power)
        images = np.fft.irfft2(half, s=(height, width), norm="ortho")
    assert images.std() == pytest.approx(PRIOR["deviation"], rel=0.02)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_periodic_spectrum_is_the_definition(height: int, width: int) -> None:
    estimator = GaussianEstimator(**PRIOR, border="periodic")
    half = estimator.spectrum(height, width, torch.float64, torch.device("cpu")).numpy()
    _, power = basis_and_spectrum(height, width, "periodic", **PRIOR)
    assert half.shape == (height, width // 2 + 1)
    whole = power.reshape(height, width)
    assert np.abs(half - whole[:, : width // 2 + 1]).max() < 1e-12
    assert whole.mean() == pytest.approx(PRIOR["deviation"] ** 2, rel=1e-12)


@pytest.mark.parametrize("border", BORDERS)
def test_channels_and_images_do_not_interact(border: str) -> None:
    x = draw(2, 3, 5, 6)
    sigma = torch.tensor([0.2, 5.0], dtype=torch.float64)
    estimator = GaussianEstimator(**PRIOR, border=border)
    assert estimator.channels is None
    together = estimator.denoise(x, sigma)
    for image in range(2):
        for channel in range(3):
            one = estimator.denoise(
                x[image : image + 1, channel : channel + 1], sigma[image : image + 1]
            )
            assert (together[image, channel] - one[0, 0]).abs().max() < 1e-12


@pytest.mark.parametrize("border", BORDERS)
def test_it_is_finite_and_keeps_float32_at_both_ends(border: str) -> None:
    estimator = GaussianEstimator(border=border)
    assert (estimator.sigma_min, estimator.sigma_max) == (0, math.inf)
    x = draw(3, 1, 16, 13).float()
    x0 = estimator.denoise(x, torch.tensor([1e-6, 157.0, 1e6]))
    assert x0.dtype == torch.float32
    assert torch.isfinite(x0).all()
    assert (x0[0] - x[0]).abs().max() < 1e-5  # without noise, the image
    assert x0[2].abs().max() < 1e-6  # of nothing but noise, the mean of the prior
