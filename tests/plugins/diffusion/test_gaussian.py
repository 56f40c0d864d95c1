"""The ``gaussian`` estimator against dense linear algebra."""

from __future__ import annotations

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


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_it_is_the_posterior_mean_of_the_noise(border: str, height: int, width: int) -> None:
    estimator = GaussianEstimator(**PRIOR, border=border)
    covariance = prior_covariance(height, width, border, **PRIOR)
    times = torch.tensor([0, 130, 600, 999])
    x = draw(len(times), 1, height, width)
    eps = estimator(x, times)
    assert eps.shape == x.shape
    assert eps.dtype == torch.float64
    for n, t in enumerate(times):
        a2 = float(estimator.alpha_bar[t])
        observed = a2 * covariance + (1 - a2) * np.eye(height * width)
        # E[eps | x] = Cov(eps, x) Cov(x)^-1 x, with Cov(eps, x) = s I.
        expected = np.sqrt(1 - a2) * np.linalg.solve(observed, x[n].numpy().ravel())
        assert np.abs(eps[n].numpy().ravel() - expected).max() < 1e-9


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("prior", [PRIOR, {}], ids=["short correlation", "default"])
def test_a_pixel_has_the_deviation_asked_for(border: str, prior: dict[str, float]) -> None:
    # The prior's covariance is recovered from the estimator itself, as the host sees it:
    # eps = s (a² C + s² I)^-1 x, so that its inverse on unit images holds C.
    estimator = GaussianEstimator(**prior, border=border)
    height, width = 6, 7
    n = height * width
    t = 500
    a2 = float(estimator.alpha_bar[t])
    units = torch.eye(n, dtype=torch.float64).view(n, 1, height, width)
    matrix = estimator(units, torch.full((n,), t)).reshape(n, n).numpy()
    covariance = (np.sqrt(1 - a2) * np.linalg.inv(matrix) - (1 - a2) * np.eye(n)) / a2
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
    times = torch.tensor([40, 700])
    together = GaussianEstimator(**PRIOR, border=border, channels=3)(x, times)
    alone = GaussianEstimator(**PRIOR, border=border)
    for image in range(2):
        for channel in range(3):
            one = alone(x[image : image + 1, channel : channel + 1], times[image : image + 1])
            assert (together[image, channel] - one[0, 0]).abs().max() < 1e-12


@pytest.mark.parametrize("border", BORDERS)
def test_it_is_finite_and_keeps_float32_at_both_ends(border: str) -> None:
    estimator = GaussianEstimator(border=border)
    x = draw(2, 1, 16, 13).float()
    eps = estimator(x, torch.tensor([0, 999]))
    assert eps.dtype == torch.float32
    assert torch.isfinite(eps).all()
    # Next to pure noise, the noise is all there is.
    assert (eps[1] - x[1]).square().mean() < 0.05 * x[1].square().mean()


def test_the_schedule_is_ddpms() -> None:
    alpha_bar = GaussianEstimator().alpha_bar
    beta = 1 - alpha_bar[1:] / alpha_bar[:-1]
    assert alpha_bar.shape == (1000,)
    assert alpha_bar.dtype == torch.float64
    assert float(1 - alpha_bar[0]) == pytest.approx(1e-4, rel=1e-9)
    assert float(beta[-1]) == pytest.approx(0.02, rel=1e-9)
    assert (beta.diff() - beta.diff().mean()).abs().max() < 1e-9  # linear
