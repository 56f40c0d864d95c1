"""Exposure brackets made from a photograph, which is the answer: it is rightly exposed."""

from __future__ import annotations

import torch
from torch import Tensor

from .draw import Draw
from .fields import regions, smooth_fields
from .filters import gaussian_blur


def bracket(photo: Tensor, K: int, draw: Draw) -> tuple[Tensor, Tensor]:
    """Make a bracket of a scene in even light, on both sides of the photograph's exposure.

    Frames are 1 to 2.5 stops apart. The photograph is between two of them, often halfway.
    """
    apart = draw.uniform(1, 2.5)
    inside = 0.5 if draw.chance(0.5) else draw.uniform(0.2, 0.8)
    below = K // 2 if draw.chance(0.7) else draw.whole(1, K - 1)
    stops = apart * (torch.arange(K) - below + inside)
    return exposed(photo, stops.view(-1, 1, 1), draw), photo


def lighting(photo: Tensor, K: int, draw: Draw) -> tuple[Tensor, Tensor]:
    """Make a bracket of a scene that lies in light and shade; the photograph is it in even light.

    Frames are 1 to 2.5 stops apart. Regions with soft borders are lit so that one frame each
    shows them as the photograph does. By chance the light changes smoothly instead, and by chance
    it changes by less than the frames do.
    """
    size = photo.shape[-1]
    stops = draw.uniform(1, 2.5) * (torch.arange(K) - (K - 1) / 2).view(-1, 1, 1)
    if draw.chance(0.75):
        parts = gaussian_blur(regions(K, size, draw), draw.uniform(0.01, 0.07) * size)
        light = -(stops * parts / parts.sum(0)).sum(0)
    else:
        light = smooth_fields(1, size, draw, 5)[0] * float(stops.amax())
        light = light.clamp(float(stops.amin()), float(stops.amax()))
    if draw.chance(0.3):
        light = light * draw.uniform(0.3, 1)
    return exposed(photo, stops + light, draw), photo


def exposed(photo: Tensor, stops: Tensor, draw: Draw) -> Tensor:
    """Return photographs (K, S, S) taken at these stops (K, S, S), clipped as a camera clips.

    The camera's curve is a power; what is added before it, by chance, is noise of the sensor.
    """
    gamma = 2.2 if draw.chance(0.5) else draw.uniform(1.8, 2.6)
    light = photo**gamma * 2.0**stops
    if draw.chance(0.3):
        level = draw.uniform(0, 0.006)
        light = light + level * (light.clamp(0, 1) + 0.01).sqrt() * draw.normal(*light.shape)
    return light.clamp(0, 1) ** (1 / gamma)
