"""Focus stacks of a photograph in which everything was sharp.

The photograph is cut into layers of depth. Source k is focused on layer k: layer j is
blurred by sigma |j - k| there, as equal steps in dioptres are. The layers are put together in
linear light from the back to the front, each as far as it covers what lies behind it:

    I <- h_j * (S_j E_j) + (1 - h_j * S_j) I,    j = K-2 ... 0,  I = h_(K-1) * E_(K-1) at first,

with h_j the blur, S_j the pixels of layer j and of all layers in front of it, since a surface
goes on behind what hides it, and E_j the photograph, in which what layer j hides behind
nearer ones is made up by mirroring it at their outline. So a blurred foreground spreads over
a sharp background and lets it shine through, on both sides of the outline; a blurred
background stops at a sharp foreground and takes no colour from it. In focus (h = delta),
all layers together are the photograph again, which is the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.signal import oaconvolve

from .exposure import to_code, to_linear
from .scene import (
    Array,
    TruthScene,
    checked_photograph,
    eight_bits,
    generator_of,
    layers,
    one_hot,
)

Kernel = Literal["gaussian", "disc"]


@dataclass(frozen=True)
class Defocus:
    """How strongly, and with what aperture, layers are out of focus.

    ``sigma`` is the standard deviation in pixels along each axis of the blur of a layer next
    to the one in focus. A disc of radius r has r / 2: an ideal lens, where the Gaussian
    is what measured ones with all their faults come near to.
    """

    sigma: float = 3.0
    kernel: Kernel = "gaussian"

    def blur(self, images: Array, steps: int) -> Array:
        """Blur (H, W) or (H, W, 3) as ``steps`` layers away from the focus; mirrored borders."""
        sigma = self.sigma * steps
        if sigma == 0:
            return images
        if self.kernel == "gaussian":
            axes = (sigma, sigma) + (0,) * (images.ndim - 2)
            smooth: Array = gaussian_filter(images, axes, mode="reflect")
            return smooth
        return _by_disc(images, 2 * sigma)


def focus_scene(
    photograph: NDArray[Any],
    count: int = 2,
    *,
    name: str = "focus",
    seed: int = 0,
    defocus: Defocus | None = None,
) -> TruthScene:
    """Make a focus stack of a photograph.

    Parameters
    ----------
    photograph
        (H, W) or (H, W, 3), uint8 or floats in [0, 1], coded by sRGB's transfer curve.
    count
        K, layers of depth and sources; the first source is focused on the nearest.
    name, seed
        What the layers' shapes are drawn from.
    defocus
        The blur; default sigma 3, Gaussian.
    """
    truth = checked_photograph(photograph)
    layer = layers((truth.shape[0], truth.shape[1]), count, generator_of(seed, name, "layers"))
    sources = focus_stack(truth, layer, defocus or Defocus())
    return TruthScene(name, sources, truth, one_hot(layer, count), (0.0,) * count)


def focus_stack(truth: Array, layer: NDArray[np.intp], defocus: Defocus) -> Array:
    """Return the sources (K, H, W[, 3]) of given layers (H, W), 0 the nearest to K - 1."""
    count = int(layer.max()) + 1
    light = to_linear(truth)
    surfaces = [
        ((layer <= j).astype(np.float64), _uncovered(light, layer < j, layer == j))
        for j in range(count)
    ]
    sources = [_compose(surfaces, focus, defocus.blur) for focus in range(count)]
    return eight_bits(to_code(np.stack(sources)))


def disc(radius: float) -> Array:
    """Return a disc of sum 1, (2n + 1, 2n + 1): the share of every pixel that lies inside."""
    reach = int(np.ceil(radius))
    side, parts = 2 * reach + 1, 16  # as many points along each side of a pixel
    at = (np.arange(side * parts) + 0.5) / parts - side / 2
    inside = (np.hypot(at[:, None], at) <= radius).astype(np.float64)
    shares: Array = inside.reshape(side, parts, side, parts).sum((1, 3))
    shares /= shares.sum()
    return shares


def _uncovered(light: Array, hidden: NDArray[np.bool_], seen: NDArray[np.bool_]) -> Array:
    """Fill what is hidden with the layer that goes on behind: mirrored at the outline.

    A hidden pixel p with the nearest seen pixel q shows 2q - p, which has the texture of the
    layer; where that is no part of the layer, it shows q.
    """
    if not hidden.any():
        return light
    nearest = distance_transform_edt(~seen, return_distances=False, return_indices=True)
    here = np.indices(seen.shape)
    height, width = seen.shape
    opposite = np.clip(2 * nearest - here, 0, np.array([height - 1, width - 1])[:, None, None])
    usable = seen[opposite[0], opposite[1]]
    rows, columns = np.where(usable, opposite, nearest)
    filled = light.copy()
    filled[hidden] = light[rows[hidden], columns[hidden]]
    return filled


def _compose(
    surfaces: list[tuple[Array, Array]], focus: int, blur: Callable[[Array, int], Array]
) -> Array:
    """Put the layers, S and E of each, together as a lens focused on one does; linear light."""
    furthest = len(surfaces) - 1
    image = blur(surfaces[furthest][1], furthest - focus)
    for j in range(furthest - 1, -1, -1):
        covered, light = surfaces[j]
        steps = abs(j - focus)
        cover = covered if light.ndim == 2 else covered[..., np.newaxis]
        seen_through = 1 - blur(covered, steps)
        if light.ndim == 3:
            seen_through = seen_through[..., np.newaxis]
        image = blur(cover * light, steps) + seen_through * image
    return image


def _by_disc(images: Array, radius: float) -> Array:
    kernel = disc(radius)
    reach = len(kernel) // 2
    border = ((reach, reach), (reach, reach)) + ((0, 0),) * (images.ndim - 2)
    wide = np.pad(images, border, mode="symmetric")
    shaped = kernel if images.ndim == 2 else kernel[..., np.newaxis]
    blurred: Array = oaconvolve(wide, shaped, mode="valid", axes=(0, 1))
    return np.clip(blurred, 0.0, None)  # the transform leaves rounding below zero
