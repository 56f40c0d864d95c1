"""Focus stacks of a photograph: layers at several depths, seen through a lens.

Source k is focused on layer k. The layers are put together in linear light from the back to the
front, each as far as it covers what lies behind it,

    I <- h_jk * (S_j E_j) + (1 - h_jk * S_j) I,    j = K-2 ... 0,    I = h_lk * E_l, l = K-1, first,

with h_jk the blur of layer j in source k, S_j the pixels of layer j and of all in front of it (a
surface goes on behind what hides it), and E_j what layer j shows. So a blurred foreground
spreads over what lies behind it, and a blurred background takes no colour from what is before it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .draw import Draw
from .fields import smooth_fields
from .filters import cosines, disc_gain, gaussian_blur, gaussian_gain

WIDEST = 14.0
"""No blur has a larger standard deviation, in pixels."""

GAMMA = 2.2
"""Of the curve that stands for sRGB's."""


def focus_stack(photo: Tensor, K: int, draw: Draw) -> tuple[Tensor, Tensor]:
    """Return a stack (K, S, S) and what is in focus in all of it (S, S), both in [0, 1].

    Blur is a Gaussian's, a disc's, or both one after the other. Its deviation is 0.5 to 6 pixels
    between neighbouring layers, and grows in proportion to the distance in depth. A third of the
    time the layers show different places, so that depth changes where the picture
    does; otherwise all show the photograph, and a layer goes on behind others as a smooth
    continuation of itself.
    """
    layer = depths(photo, K, draw)
    shown = [photo] * K
    if draw.chance(0.35):
        shown = [_turned(photo, draw) if j else photo for j in range(K)]
        answer = torch.stack(shown).gather(0, layer[None])[0]
        surfaces = [image**GAMMA for image in shown]
    else:
        answer = photo
        surfaces = [_continued(photo**GAMMA, layer, j, draw) for j in range(K)]
    places = torch.arange(K).float()
    if draw.chance(0.5):
        places = (0.5 + draw.tensor(K)).cumsum(0)
    focused = places + (0.1 * draw.normal(K) if draw.chance(0.25) else 0)
    step = math.exp(draw.uniform(math.log(0.5), math.log(6)))
    deviations = (step * (places[:, None] - focused).abs()).clamp(max=WIDEST)
    light = composed(surfaces, layer, deviations, aperture(draw))
    return light.clamp(0, 1) ** (1 / GAMMA), answer


def aperture(draw: Draw) -> tuple[float, float]:
    """Return the shares of a disc and of a Gaussian in the variance of the blur."""
    kind = draw.whole(0, 2)
    disc = (1.0, 0.0, draw.uniform())[kind]
    return disc, 1 - disc


def composed(
    surfaces: list[Tensor], layer: Tensor, deviations: Tensor, shares: tuple[float, float]
) -> Tensor:
    """Put layers (S, S) together as seen when each is in focus: (K, S, S).

    Parameters
    ----------
    surfaces
        E_j in linear light, nearest first.
    layer
        (S, S), which of them is seen at a pixel.
    deviations
        (K, K), of layer j in source k, in pixels along each axis.
    shares
        Of disc and Gaussian in its square.
    """
    K, size = len(surfaces), layer.shape[-1]
    basis, _ = cosines(size)
    disc, gaussian = (deviations * math.sqrt(share) for share in shares)
    gains = disc_gain(size, 2 * disc) * gaussian_gain(size, gaussian)
    image = torch.empty(0)
    for j in reversed(range(K)):
        cover = (layer <= j).float()
        if j == K - 1:
            spectrum = (basis @ surfaces[j] @ basis.mT)[None]
        else:
            spectrum = basis @ torch.stack([cover * surfaces[j], cover]) @ basis.mT
        blurred = basis.mT @ (gains[j][:, None] * spectrum) @ basis
        image = blurred[:, 0] if j == K - 1 else blurred[:, 0] + (1 - blurred[:, 1]) * image
    return image


def depths(photo: Tensor, K: int, draw: Draw) -> Tensor:
    """Divide a photograph into K layers, (S, S), 0 the nearest; some may be empty.

    Slices of a map of depth: smooth; following the brightness of the photograph, so that
    outlines of depth are outlines of the picture; objects before a background; or a plane.
    """
    size = photo.shape[-1]
    u = draw.uniform()
    depth = smooth_fields(1, size, draw)[0]
    if u < 0.25:
        guide = gaussian_blur(photo, math.exp(draw.uniform(0, math.log(8))))
        guide = (guide - guide.mean()) / (guide.std() + 1e-3)
        depth = draw.uniform(0, 0.7) * depth + (1 if draw.chance(0.5) else -1) * guide
    elif u < 0.5:
        depth = 0.3 * depth
        for _ in range(draw.whole(1, 6)):
            depth = torch.where(blob(size, draw), depth - draw.uniform(1, 3), depth)
    elif u < 0.6:
        angle = draw.uniform(0, 2 * math.pi)
        place = torch.linspace(-2, 2, size)
        depth = 0.2 * depth + math.cos(angle) * place + math.sin(angle) * place[:, None]
    shares = torch.arange(1, K) / K
    if draw.chance(0.4):
        shares = draw.tensor(K - 1, low=-0.2, high=1.2).clamp(0, 1).sort().values
    ordered = depth.flatten().sort().values
    cuts = ordered[(shares * (size * size - 1)).long()]
    cuts = torch.where(shares <= 0, depth.min() - 1, cuts)
    return torch.searchsorted(cuts, depth.contiguous())


def blob(size: int, draw: Draw) -> Tensor:
    """Return where a random object lies, (S, S) of bool: its radius is a short Fourier series."""
    centre = draw.tensor(2, low=0, high=size)
    along = torch.arange(size).float()
    down, right = along[:, None] - centre[0], along - centre[1]
    angle, distance = torch.atan2(down, right), torch.hypot(down, right)
    radius = torch.ones_like(angle)
    for n in range(1, 6):
        height, phase = draw.uniform(0, 0.9 / n), draw.uniform(0, 2 * math.pi)
        radius = radius + height * torch.cos(n * angle + phase)
    return distance < draw.uniform(0.06, 0.35) * size * radius


def _turned(photo: Tensor, draw: Draw) -> Tensor:
    """Return the photograph flipped and turned, so that other things are where it showed some."""
    turned = photo.flip([axis for axis in (0, 1) if draw.chance(0.5)])
    return turned.mT if draw.chance(0.5) else turned


def _continued(light: Tensor, layer: Tensor, j: int, draw: Draw) -> Tensor:
    """Return light where layer j is seen or is not hidden, and its surroundings behind others."""
    hidden = layer < j
    if not hidden.any():
        return light
    seen = (layer == j).float()
    spread = math.exp(draw.uniform(math.log(2), math.log(12)))
    near, cover = gaussian_blur(torch.stack([seen * light, seen]), spread).clamp(min=0)
    far = (seen * light).sum() / (seen.sum() + 1e-6) if seen.any() else light.mean()
    return torch.where(hidden, (near + 1e-3 * far) / (cover + 1e-3), light)
