"""A smooth image that agrees with a measurement: where restoration begins."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from fusionkit import Identity, StartedObservation, box_mean

ROUNDING = 1 / 127.5
"""The least noise that is reckoned with, in units of images in [-1, 1]: a grey level."""

_ROUGHNESS = 10 / 127.5
"""How far a pixel is from the mean of those around it, in most places of most images."""

_ROUNDS = 10


def guess(y: Tensor, observation: StartedObservation, size: tuple[int, int]) -> Tensor:
    """Return a smooth image that would be measured so, (B, C, H, W).

    Smoothing by 3 x 3 binomial weights and the observation's proximal point alternate. Of fewer
    pixels that is 0.1 to 0.2 dB better than bicubic interpolation made to agree with them, of
    missing ones 0.9 dB better than normalised convolution (12 crops of 6 sets).

    Parameters
    ----------
    y
        (B, C, h, w), finite everywhere.
    observation
        How it was measured.
    size
        (H, W).
    """
    rho = (max(observation.sigma, ROUNDING) / _ROUGHNESS) ** 2
    z = observation.prox(backprojected(y, observation, size), y, rho)
    for _ in range(_ROUNDS):
        z = observation.prox(_smoothed(z), y, rho)
    return z


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
