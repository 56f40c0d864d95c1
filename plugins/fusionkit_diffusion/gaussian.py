"""A prior that is known exactly: stationary Gaussian images with a 1/f^p power spectrum."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from fusionkit import Prior, image_mean


class GaussianEstimator(Prior):
    """The posterior mean under a Gaussian prior, by FFT.

    The prior is x0 ~ N(0, S) with S diagonal over spatial frequencies,

        S(f) ∝ (f² + f_min²)^(-p/2),  f in cycles per pixel, f_min = 1 / (2π correlation),

    scaled so that a pixel has the given standard deviation. For x = x0 + sigma n the posterior
    mean of x0 is, at each frequency, S / (S + sigma²) times x: the Wiener filter. Channels are
    alike and independent, as many as there are.

    With ``border="mirror"`` the frequencies are those of the DCT-II, the
    prior of images that continue mirrored past their border, and white noise is
    white there too, so the posterior mean is exact for it; it is computed by the
    FFT of the mirrored image. ``periodic`` is the plain FFT's torus.

    Power law of natural images: Field, J. Opt. Soc. Am. A 4, 2379 (1987).

    Parameters
    ----------
    exponent, deviation, correlation
        p; standard deviation of a pixel; length in pixels.
    border
        ``mirror`` or ``periodic``.
    """

    channels = None
    multiple_of = 1
    sigma_min, sigma_max = 0.0, math.inf
    pixels_per_tile = 2**26  # a tile's spectrum is another than its image's

    def __init__(
        self,
        exponent: float = 2.0,
        deviation: float = 0.5,
        correlation: float = 256.0,
        border: str = "mirror",
    ) -> None:
        self.border = border
        self._exponent = exponent
        self._variance = deviation**2
        self._least = 1 / (2 * torch.pi * correlation)
        # The spectrum of an image size is needed at every step, and costs as much to make.
        self._cached_spectrum = lru_cache(maxsize=8)(self._spectrum)

    def spectrum(self, height: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return S on the grid of ``rfft2`` of the (mirrored) image; see above for its scale."""
        spectrum: Tensor = self._cached_spectrum(height, width, dtype, device)
        return spectrum

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the posterior mean of x0, shaped as ``x`` (B, C, H, W)."""
        height, width = x.shape[-2:]
        if self.border == "mirror":
            x = torch.cat([x, x.flip(-1)], -1)
            x = torch.cat([x, x.flip(-2)], -2)
        spectrum = self.spectrum(x.shape[-2], x.shape[-1], x.dtype, x.device)
        size = x.shape[-2:]
        frequencies = torch.fft.rfft2(x)
        del x  # four images, of which nothing is needed any more
        frequencies *= spectrum / (spectrum + sigma.square().view(-1, 1, 1, 1))
        x0: Tensor = torch.fft.irfft2(frequencies, s=size)
        return x0[..., :height, :width]

    def _spectrum(
        self, height: int, width: int, dtype: torch.dtype, device: torch.device
    ) -> Tensor:
        mirrored = self.border == "mirror"
        rows = torch.fft.fftfreq(height, dtype=torch.float64).view(-1, 1)
        columns = torch.fft.fftfreq(width, dtype=torch.float64)
        if mirrored:
            columns = columns[: width // 2 + 1]
        power: Tensor = rows**2 + columns**2
        power.add_(self._least**2).pow_(-self._exponent / 2)
        # Of a mirrored image's frequencies, those of the DCT-II are the first quadrant.
        own = power[: height // 2, : width // 2] if mirrored else power
        power.mul_(self._variance / image_mean(own))
        return power[:, : width // 2 + 1].to(device, dtype)
