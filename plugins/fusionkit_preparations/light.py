"""One radiance of a bracket: what each frame tells of the scene's light, by how well it tells it.

A frame stores c = e(min(1, t L)) of the light L at exposure t, coded by the camera's curve e and
rounded. So d(c) / t, d = 1/e, is L as far as c is neither clipped nor lost in the dark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fusionkit import box_mean

from .response import Array, Response

BRIGHT, CLIPPED = 0.9, 0.98
"""Of coded values: where a frame begins to count less, and where it counts as clipped. The ringing
of a JPEG around white stays above."""

ERROR = 2 / 255
"""Standard deviation of a coded value: rounding, compression, and the noise of a good camera."""

LEEWAY = 12 / 255
"""Of coded values: within it a value may be of any light. Blacks are crushed, curves not exact."""

FAITHFUL, OTHER = 0.25, 0.5
"""Stops by which frames differ beyond the leeway, in the mean over a window, that show the same
scene, and that show something else."""

WINDOW = 5
_LEAST_SAY, _LAST_SAY = 1e-4, 1e-9
_TINY = 1e-6


def fused_radiance(
    read: Callable[[int], Array],
    stops: Sequence[float],
    reference: int,
    response: Response,
    shown: NDArray[np.bool_] | None,
    still: bool,
) -> tuple[Array, Array]:
    """Return the light of a scene at the reference's exposure, and where frames differ from it.

    Each frame counts by the inverse of its variance: an error of the coded value, the same for all,
    is (t / d'(c))² worth in light, so that of two frames the longer exposure counts more, four
    times where light is coded as it is. All channels of a pixel count alike, by the brightest,
    and less from 0.9 on to nothing at 0.98: so hue is of frames that clip no channel. What is
    clipped in all is what the shortest exposure has of it.

    A frame that differs from the reference by more than tolerance and noise shows something that
    moved, and does not count there; so the reference is what the scene is taken to be.

    Parameters
    ----------
    read
        Returns a frame (H, W, C), coded, in [0, 1].
    stops
        By which each frame is exposed longer than the reference; ascending.
    reference
        Which frame it is.
    response
        The camera's.
    shown
        (K, H, W), where frames show the scene.
    still
        Whether nothing moves: all frames count everywhere.

    Returns
    -------
    light, ghosts
        (H, W, C), above 1 where it is brighter than the reference can show; (H, W), the share of
        frames in [0, 1] that show something else.
    """
    base = read(reference)
    base_light, said = response.light(base), _range(base, response, 1.0)
    total, norm = np.zeros_like(base), np.zeros_like(base[..., :1])
    ghosts = np.zeros(base.shape[:2], np.float32)
    for k, longer in enumerate(stops):
        scale = 2.0**-longer
        code = base if k == reference else read(k)
        light = np.float32(scale) * response.light(code)
        error = np.float32(scale * ERROR) * response.slope(code)
        say = _headroom(code)
        if k == 0:
            say = np.maximum(say, np.float32(_LEAST_SAY))
        if k == reference:
            say = np.maximum(say, np.float32(_LAST_SAY))
        elif not still:
            faithful = _faithful(said, _range(code, response, scale))
            say *= faithful
            ghosts += 1 - faithful
        if shown is not None:
            say *= shown[k]
        weight = say[..., None] / np.square(error).mean(-1, keepdims=True)
        total += weight * light
        norm += weight
    fused: Array = np.where(norm > 0, total / np.maximum(norm, np.float32(_TINY**4)), base_light)
    return fused, ghosts / np.float32(max(len(stops) - 1, 1))


def _headroom(code: Array) -> Array:
    """Return how far each pixel (H, W) is from clipping: 1, falling smoothly to 0."""
    room: Array = np.clip((CLIPPED - code.max(-1)) / np.float32(CLIPPED - BRIGHT), 0, 1)
    return np.asarray(smooth(room), np.float32)


def _range(code: Array, response: Response, scale: float) -> tuple[Array, Array]:
    """Return log2 of the least and the greatest light (H, W, C + 1) that a frame may stand for.

    Of every channel, and of the brightest one. Where that is clipped, the others tell nothing:
    cameras take colour out of what is nearly white.
    """
    brightest = code.max(-1, keepdims=True)
    code = np.concatenate([code, brightest], -1)
    least: Array = np.float32(scale) * response.light(code - np.float32(LEEWAY))
    most: Array = np.float32(scale) * response.light(code + np.float32(LEEWAY))
    most[code >= CLIPPED] = np.inf
    lost = np.broadcast_to(brightest >= CLIPPED, code.shape).copy()
    lost[..., -1] = False
    least[lost], most[lost] = 0, np.inf
    return np.log2(np.maximum(least, np.float32(_TINY))), np.log2(most)


def _faithful(one: tuple[Array, Array], other: tuple[Array, Array]) -> Array:
    """Return where (H, W) two frames can be of the same light: 1, falling smoothly to 0."""
    apart = np.maximum(one[0] - other[1], other[0] - one[1]).max(-1)
    far = mean(np.maximum(apart, 0), WINDOW)
    moved = smooth(np.clip((far - FAITHFUL) / (OTHER - FAITHFUL), 0, 1))
    return np.asarray(1 - smooth(np.clip(mean(2 * moved, WINDOW), 0, 1)), np.float32)


def smooth(x: Any) -> Any:
    """Return Hermite's step of values in [0, 1]."""
    return x * x * (3 - 2 * x)


def mean(plane: Array, window: int) -> Array:
    """Return the mean of (H, W) over an odd window, over what lies inside the image."""
    blurred: Array = box_mean(torch.from_numpy(np.ascontiguousarray(plane))[None, None], window)[
        0, 0
    ].numpy()
    return blurred
