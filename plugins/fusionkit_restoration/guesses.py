"""A smooth image that agrees with a measurement: where restoration begins."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from fusionkit import Identity, StartedObservation, box_mean, conjugate_gradients

ROUNDING = 0.3 / 127.5
"""The least noise that is reckoned with, in units of images in [-1, 1]: of what is rounded to
8 bits, 1 / sqrt(12) of a grey level."""

_ROUGHNESS = 3 / 127.5
"""How far a pixel is from the mean of those around it, in most places of most images."""

_ITERATIONS = 40


def guess(
    y: Tensor, observation: StartedObservation, size: tuple[int, int], iterations: int = _ITERATIONS
) -> Tensor:
    """Return the smoothest image that would be measured so, (B, C, H, W).

    A thin plate: the least of |A c - y|² / σ² + |c - S c|² / r² over what is known, with S c the
    binomial mean over 3 x 3 pixels and r a roughness, by conjugate gradients from
    :func:`backprojected`.

    Parameters
    ----------
    y
        (B, C, h, w), finite everywhere.
    observation
        How it was measured.
    size
        (H, W).
    iterations
        Of conjugate gradients.
    """
    mask = known(y, observation)
    weight = (max(observation.sigma, ROUNDING) / _ROUGHNESS) ** 2

    def normal(c: Tensor) -> Tensor:
        rough = c - _smoothed(c)
        bent = rough - _smoothed(rough)
        return observation.adjoint(observation.A(c) * mask) + weight * bent

    begun = backprojected(y, observation, size)
    return conjugate_gradients(normal, observation.adjoint(y * mask), begun, iterations)


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


def _smoothed(images: Tensor) -> Tensor:
    B, C, H, W = images.shape
    along = images.new_tensor([0.25, 0.5, 0.25])
    around = pad(images.reshape(B * C, 1, H, W), (1, 1, 1, 1), mode="replicate")
    return conv2d(around, torch.outer(along, along)[None, None]).view(B, C, H, W)
