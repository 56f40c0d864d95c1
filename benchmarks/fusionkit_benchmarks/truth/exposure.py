"""Exposure brackets of a photograph, in linear light, clipped and rounded as a camera does.

A source of exposure value v shows e(min(1, 2^(g + v) L)), rounded to 8 bits: L the
photograph in linear light, e sRGB's transfer curve, g the scene's lighting in stops.

What the truth of a bracket is must be said. A bracket has no brightness of its own: a
fusion that is darker everywhere is no worse. Here the truth is the photograph, in one of
two senses.

- *Even light*, g = 0: the truth is the exposure v = 0, which lies halfway between two
  neighbours of the bracket and is none of the sources. Every pixel of it is unclipped in
  at least the next lower exposure, so that it can be known from the sources up to rounding;
  that it is *this* brightness is a convention, so PSNR is also given after the best
  gain and offset.
- *Uneven light*: regions of the scene lie in light and shade, g = -v_k on region k with
  soft borders, as of a window seen from inside. The truth is the photograph, the scene evenly
  lit. On region k it is what source k shows, so that no convention is left, and to choose
  well at every place is all that is needed.
- *Moving*: even light, and a thing that is elsewhere in each frame. The truth has it where the
  frame in the middle has it, of two the shorter exposure.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .scene import (
    Array,
    TruthScene,
    checked_photograph,
    eight_bits,
    generator_of,
    layers,
    one_hot,
)

STOPS = 2.0
"""Exposure values between neighbours of a bracket."""

PENUMBRA = 0.03
"""Standard deviation of the borders of light and shade, in shorter sides of the image."""


THING = 0.1
"""Radius of what moves, in shorter sides of the image."""


def to_linear(code: Array) -> Array:
    """Decode sRGB (IEC 61966-2-1): values in [0, 1] to linear light in [0, 1]."""
    low, high = code / 12.92, ((np.maximum(code, 0.0) + 0.055) / 1.055) ** 2.4
    return np.where(code <= 0.04045, low, high)


def to_code(light: Array) -> Array:
    """Encode linear light by sRGB's transfer curve; light below 0 or above 1 is clipped."""
    light = np.clip(light, 0.0, 1.0)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def even_bracket(count: int, stops: float = STOPS) -> tuple[float, ...]:
    """Return exposure values (K,) for even light: 0 lies halfway between two of them.

    The lower ones are as many as the higher ones, or one fewer: -1, 1; -1, 1, 3; -3, -1, 1, 3.
    """
    return tuple(stops * (k - count // 2 + 0.5) for k in range(count))


def uneven_bracket(count: int, stops: float = STOPS) -> tuple[float, ...]:
    """Return exposure values (K,) for light and shade, symmetric: -1, 1; -2, 0, 2."""
    return tuple(stops * (k - (count - 1) / 2) for k in range(count))


def exposed(light: Array, values: NDArray[Any] | float) -> Array:
    """Return what a camera stores of linear light at exposure ``values`` (stops)."""
    return eight_bits(to_code(light * np.exp2(values)))


def exposure_scene(
    photograph: NDArray[Any], count: int = 2, *, name: str = "exposure", stops: float = STOPS
) -> TruthScene:
    """Make a bracket of an evenly lit scene, darkest first.

    ``masks`` show, at each pixel, the longest exposure that clips no channel of it.

    Parameters
    ----------
    photograph
        (H, W) or (H, W, 3), uint8 or floats in [0, 1], coded by sRGB's transfer curve.
    count, stops
        K exposures, so far apart.
    name
        Nothing is drawn at random: a name only.
    """
    truth = checked_photograph(photograph)
    light = to_linear(truth)
    values = even_bracket(count, stops)
    sources = np.stack([exposed(light, value) for value in values])
    brightest = light if light.ndim == 2 else light.max(-1)
    unclipped = brightest * np.exp2(np.array(values))[:, None, None] <= 1
    best = np.maximum(unclipped.sum(0) - 1, 0)
    return TruthScene(name, sources, truth, one_hot(best, count), (0.0,) * count)


def lighting_scene(
    photograph: NDArray[Any],
    count: int = 2,
    *,
    name: str = "lighting",
    seed: int = 0,
    stops: float = STOPS,
) -> TruthScene:
    """Make a bracket of a scene in light and shade, darkest first; arguments as above.

    ``masks`` are the regions, softened as their borders are; the first source, the
    shortest exposure, is right where the light is brightest.
    """
    truth = checked_photograph(photograph)
    size = truth.shape[0], truth.shape[1]
    values = uneven_bracket(count, stops)
    regions = one_hot(layers(size, count, generator_of(seed, name, "layers")), count)
    softness = PENUMBRA * min(size)
    masks: Array = gaussian_filter(regions, (0, softness, softness), mode="reflect")
    masks = masks / masks.sum(0)
    lighting = -np.tensordot(values, masks, 1)
    stacked = lighting if truth.ndim == 2 else lighting[..., np.newaxis]
    light = to_linear(truth)
    sources = np.stack([exposed(light, stacked + value) for value in values])
    return TruthScene(name, sources, truth, masks, (0.0,) * count)


def moving_scene(
    photograph: NDArray[Any], count: int = 2, *, name: str = "moving", stops: float = STOPS
) -> TruthScene:
    """Make a bracket of an evenly lit scene in which a thing moves; arguments as for even light.

    The thing is a disc of the photograph, of a radius of ``THING`` shorter sides, in its middle in
    the frame in the middle, of two the shorter exposure, which the truth is. In frames beside that
    the disc is two radii to the left and right, and so on around the image; where it was, they
    show what lies two radii below.
    """
    truth = checked_photograph(photograph)
    scene = exposure_scene(photograph, count, name=name, stops=stops)
    height, width = scene.size
    radius = max(2, round(THING * min(scene.size)))
    rows, columns = np.ogrid[:height, :width]
    disc = np.hypot(rows - height // 2, columns - width // 2) <= radius
    behind = np.where(
        disc[..., None] if truth.ndim == 3 else disc, np.roll(truth, -2 * radius, 0), truth
    )
    sources = []
    for k, value in enumerate(even_bracket(count, stops)):
        moved = 2 * radius * (k - (count - 1) // 2)
        there = np.roll(disc, moved, 1)
        shown = np.roll(truth, moved, 1)
        frame = np.where(there[..., None] if truth.ndim == 3 else there, shown, behind)
        sources.append(exposed(to_linear(frame), value))
    return TruthScene(name, np.stack(sources), truth, scene.masks, scene.sigmas)
