"""A smooth image that agrees with a measurement: where restoration begins."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from fusionkit import (
    Identity,
    StartedObservation,
    box_mean,
    conjugate_gradients,
    image_mean,
)

ROUNDING = 0.3 / 127.5
"""The least noise that is reckoned with, in units of images in [-1, 1]: of what is rounded to
8 bits, 1 / sqrt(12) of a grey level."""

_ROUGHNESS = 3 / 127.5
"""How far a pixel is from the mean of those around it, in most places of most images."""

_ITERATIONS = 60
_ITERATIONS_OF_HOLES = 150
"""Of conjugate gradients: from the rim of a hole, a plate bends slowly into it."""

_AT_ITSELF = 20 / 64
"""What L² makes of a pixel that alone is 1, there."""

_WINDOW = 15  # that an error is measured over, in pixels of the source

_TOO_SMALL = 3.0
"""How much larger an error is taken to be in holes than at the pixels beside, which have more
around them to go by; chosen on five scenes. Of fewer pixels it is about the same."""


def guess(y: Tensor, observation: StartedObservation, size: tuple[int, int]) -> Tensor:
    """Return the smoothest image that would be measured so, (B, C, H, W).

    A thin plate: the least of |A c - y|² / σ² + |L c|² / r² over what is known, with L c what a
    pixel differs from the mean of the four around it (halved) and r a roughness, by conjugate
    gradients from :func:`backprojected`. In holes that is the biharmonic equation.

    Parameters
    ----------
    y
        (B, C, h, w), finite everywhere.
    observation
        How it was measured.
    size
        (H, W).
    """
    mask = known(y, observation)
    iterations = _ITERATIONS if observation.mask is None else _ITERATIONS_OF_HOLES
    weight = (max(observation.sigma, ROUNDING) / _ROUGHNESS) ** 2

    def normal(c: Tensor) -> Tensor:
        bent = _bent(_bent(c))
        return observation.adjoint(observation.A(c) * mask) + weight * bent

    begun = backprojected(y, observation, size)
    return conjugate_gradients(normal, observation.adjoint(y * mask), begun, iterations)


def error_of(guessed: Tensor, y: Tensor, observation: StartedObservation) -> Tensor:
    """Return how wrong a guess is expected to be, around every pixel: (B, 1, H, W), > 0.

    Where a thin plate lets each measured pixel be foretold by those around it, it is off by
    L² y / (L² at the pixel itself); that, over a window, is what it is off by between them.

    Parameters
    ----------
    guessed
        (B, C, H, W), what :func:`guess` returned.
    y, observation
        The source, and how it was measured.
    """
    size = (int(guessed.shape[-2]), int(guessed.shape[-1]))
    mask = known(y, observation)
    off = _bent(_bent(torch.where(mask > 0, y, observation.A(guessed)))) / _AT_ITSELF
    power = (off.square() * mask).mean(1, keepdim=True)
    share = box_mean(mask, _WINDOW).clamp(min=1e-3)
    error = (box_mean(power, _WINDOW) / share).clamp(min=ROUNDING**2).sqrt()
    fewer = y.shape[-2:] != guessed.shape[-2:]
    scale = _hidden_by(observation, y) * (1.0 if fewer else _TOO_SMALL)
    return spread(error, observation, size) * scale


def _hidden_by(observation: StartedObservation, y: Tensor) -> Tensor:
    """Return how much weaker y shows its finest pattern than what is flat: 1 if nothing blurs."""
    flat = torch.ones_like(y[:1, :1])
    pattern = flat.clone()
    pattern[..., ::2, 1::2] = pattern[..., 1::2, ::2] = -1
    seen = image_mean(observation.adjoint(pattern).square(), (2, 3), keepdim=True)
    return (image_mean(observation.adjoint(flat).square(), (2, 3), keepdim=True) / seen).sqrt()


def backprojected(y: Tensor, observation: StartedObservation, size: tuple[int, int]) -> Tensor:
    """Return for every pixel the mean of what was measured of it, or around it, (B, C, H, W).

    Normalised convolution, A^T y over A^T 1, in windows from the size of the image down to that of
    a pixel of y, each as far as it has something to go by.
    """
    mask = known(y, observation)
    total, weight = observation.adjoint(y * mask), observation.adjoint(mask)
    sides = [_pixel(y, size)]
    while sides[-1] < max(size):
        sides.append(2 * sides[-1] + 1)
    smooth = torch.zeros_like(total)
    for side in reversed(sides):
        share = box_mean(weight, side)
        most = share.amax((-2, -1), keepdim=True)
        smooth = smooth + (box_mean(total, side) - share * smooth) / (share + 0.1 * most + 1e-12)
    return smooth


def spread(maps: Tensor, observation: StartedObservation, size: tuple[int, int]) -> Tensor:
    """Return smooth maps (B, C, h, w) of y's grid on the fused one, (B, C, H, W)."""
    if maps.shape[-2:] == size:
        return maps
    side = _pixel(maps, size)
    weight = box_mean(observation.adjoint(torch.ones_like(maps)), side)
    return box_mean(observation.adjoint(maps), side) / weight.clamp(min=1e-12)


def shows_whole(observation: StartedObservation) -> bool:
    """Whether a source shows the scene as it is, but for noise and what is hidden."""
    return isinstance(observation, Identity) or getattr(observation, "operators", None) == ()


def known(y: Tensor, observation: StartedObservation) -> Tensor:
    """Return the mask, (B, 1, h, w), of ones where there is none."""
    if observation.mask is None:
        return torch.ones_like(y[:, :1])
    return observation.mask.to(y).expand(len(y), -1, -1, -1)


def _pixel(y: Tensor, size: tuple[int, int]) -> int:
    """Return the side, odd, of a window around a pixel that holds a pixel of y."""
    return 2 * round(max(size[0] / y.shape[-2], size[1] / y.shape[-1])) + 1


def _bent(images: Tensor) -> Tensor:
    """Return half of what each pixel differs from the mean of the four around it."""
    B, C, H, W = images.shape
    around = pad(images.reshape(B * C, 1, H, W), (1, 1, 1, 1), mode="replicate")
    kernel = images.new_tensor([[0, -1, 0], [-1, 4, -1], [0, -1, 0]]) / 8
    return conv2d(around, kernel[None, None]).view(B, C, H, W)
