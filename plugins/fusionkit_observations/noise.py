"""Noise of known strength, or as strong as the source itself shows."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from fusionkit import Identity, box_mean
from fusionkit.imaging import LEAST_NOISE, estimated_noise

_WINDOW = 5  # of the mean that brightness is taken from, so that it is not that of the noise
_ROUNDING = 1 / math.sqrt(12)  # of a grey level


class Noise:
    """White noise of variance sigma² + gain v in y, v its brightness from 0 to 255.

    Parameters
    ----------
    sigma
        Of 255; None to estimate it, if there is no gain.
    gain
        Of 255.
    """

    def __init__(self, sigma: float | None = None, gain: float = 0.0) -> None:
        self._sigma = sigma
        self._gain = gain

    def start(self, y: Tensor, size: tuple[int, int]) -> Identity:
        """Return the noise of one source, or of a batch of them."""
        if self._gain == 0 and self._sigma is not None:
            return Identity(self._sigma / 127.5)
        variance = self._variances(y)
        least = variance.min()
        if float(least) == float(variance.max()):
            return Identity(math.sqrt(float(least)) / 127.5)
        return Identity(math.sqrt(float(least)) / 127.5, least / variance)

    def _variances(self, y: Tensor) -> Tensor:
        """Return the variance in each pixel, or each image, of 255²: (B, 1, h, w)."""
        if self._gain == 0:
            seen = [_estimated(image) for image in y.unbind()]
            each = y.new_tensor(seen).view(-1, 1, 1, 1).square()
            if min(seen) == max(seen):
                return each
            return each.clamp(min=_ROUNDING**2).expand(-1, 1, *y.shape[-2:])
        brightness = box_mean((y.nan_to_num() + 1).mean(1, keepdim=True) * 127.5, _WINDOW)
        variance = (self._sigma or 0.0) ** 2 + self._gain * brightness.clamp(min=0)
        return variance.clamp(min=_ROUNDING**2)


def _estimated(image: Tensor) -> float:
    """Return the standard deviation of white noise of an image (C, h, w), of 255; 0 if texture."""
    unit = ((image + 1) / 2).nan_to_num(nan=1.0).movedim(0, -1).to(torch.float64).numpy(force=True)
    seen = estimated_noise(np.squeeze(unit, -1) if unit.shape[-1] == 1 else unit)
    return seen if seen >= LEAST_NOISE else 0.0
