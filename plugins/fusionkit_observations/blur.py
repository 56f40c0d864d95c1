"""Blur by a known point spread function, of images that continue mirrored past their border."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fusionkit import BaseObservation, UsageError

from .psf import PSF


class Blur:
    """Convolution with a PSF."""

    def __init__(self, psf: PSF) -> None:
        self._psf = psf

    def start(self, y: Tensor, size: tuple[int, int]) -> Blurred:
        """Return it for images of one size; raise UsageError if the PSF is larger."""
        height, width = self._psf.shape
        if height > size[0] or width > size[1]:
            raise UsageError(
                f"the PSF, {width} x {height} pixels, is larger than the image, "
                f"{size[1]} x {size[0]}"
            )
        return Blurred(self._psf, size)


class Blurred(BaseObservation):
    """A = R H E: mirrored to twice the size (E), convolved on the torus (H), cropped (R).

    A PSF that is the same mirrored left to right and top to bottom leaves mirrored images mirrored:
    A is then its own adjoint, multiplies each frequency of the DCT-II by a number s, and
    the minimiser is (s y + rho z) / (s² + rho), frequency by frequency. For any other PSF the
    adjoint is E^T H^T R^T, and conjugate gradients find the minimiser.
    """

    def __init__(self, psf: PSF, size: tuple[int, int]) -> None:
        # Rows of A sum to 1, and its columns, folded at a corner, to no more than 4.
        self.norm = 4.0
        self._even = np.allclose(psf, psf[::-1]) and np.allclose(psf, psf[:, ::-1])
        wide = np.zeros((2 * size[0], 2 * size[1]))
        wide[: psf.shape[0], : psf.shape[1]] = psf
        centred = np.roll(wide, (-(psf.shape[0] // 2), -(psf.shape[1] // 2)), (0, 1))
        if self._even:
            self.norm = 1.0
        spectrum = np.fft.rfft2(centred)
        self._spectrum = torch.from_numpy(spectrum.real.copy() if self._even else spectrum)
        self._cast: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def A(self, c: Tensor) -> Tensor:  # noqa: N802 - the operator's name
        """Return images blurred."""
        return _inverse(_spectrum_of(c) * self._gain(c), c)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return A^T y."""
        if self._even:
            return self.A(y)
        height, width = y.shape[-2:]
        wide = (2 * height, 2 * width)
        spread = torch.fft.irfft2(torch.fft.rfft2(y, s=wide) * self._gain(y).conj(), s=wide)
        top, bottom = spread[..., :height, :], spread[..., height:, :].flip(-2)
        folded = top + bottom
        back: Tensor = folded[..., :width] + folded[..., width:].flip(-1)
        return back

    def prox(self, z: Tensor, y: Tensor, rho: float) -> Tensor:
        """Return the minimiser."""
        if not self._even:
            return super().prox(z, y, rho)
        gain = self._gain(z)
        least = (_spectrum_of(y) * gain + rho * _spectrum_of(z)) / (gain.square() + rho)
        return _inverse(least, z)

    def _gain(self, like: Tensor) -> Tensor:
        """Return the spectrum in the precision, and on the device, of images."""
        key = like.dtype, like.device
        if key not in self._cast:
            of = like.dtype if self._even else like.dtype.to_complex()
            self._cast[key] = self._spectrum.to(like.device, of)
        return self._cast[key]


def _spectrum_of(images: Tensor) -> Tensor:
    """Return the spectrum of images (..., H, W) mirrored to (..., 2 H, 2 W)."""
    wide = torch.cat([images, images.flip(-1)], -1)
    spectrum: Tensor = torch.fft.rfft2(torch.cat([wide, wide.flip(-2)], -2))
    return spectrum


def _inverse(spectrum: Tensor, like: Tensor) -> Tensor:
    height, width = like.shape[-2:]
    wide: Tensor = torch.fft.irfft2(spectrum, s=(2 * height, 2 * width))
    return wide[..., :height, :width]
