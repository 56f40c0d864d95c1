"""How noisy a source is, estimated from the image itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.imaging.picture import Picture

LEAST_NOISE = 4.5
"""An estimate below this, of 255, counts as no noise: the finest texture looks like as much."""

Read = Callable[[slice], NDArray[Any]]
"""Makes rows of an image, (H, W) or (H, W, 3), in [0, 1]."""

_BLOCK = 32
_SHARE = 0.05  # of the blocks: those with the least structure
_BIAS = 0.93  # of this quantile: a block's root mean square varies by 4.3%
_ENOUGH = 2**20  # pixels
_SATURATED = 0.05  # of a block's pixels, clipped: noise is cut off there


def seen_noise(
    picture: Picture, luma: NDArray[Any] | Read, shown: NDArray[np.bool_] | None = None
) -> float:
    """Estimate the noise of a channel of a source, as :func:`estimated_noise` does.

    Parameters
    ----------
    picture
        The source.
    luma
        (H, W) of it, in [0, 1], or what makes some of its rows: what is looked at where the source
        is grey.
    shown
        (H, W), where it shows the scene; it does everywhere by default.

    Returns
    -------
    float
        Of 255; 0 for less than :data:`LEAST_NOISE`, which may as well be texture.
    """
    # Of a large image only the rows that are looked at are made.
    read: Read = luma if callable(luma) else luma.__getitem__
    if picture.is_colour:
        read = picture.unit
    if shown is not None:
        read = partial(_only, read, shown)
    seen = _estimated(read, picture.shape)
    return seen if seen >= LEAST_NOISE else 0.0


def noise_note(name: str, seen: float) -> str:
    """Say of a source that it is noisy, and what to do."""
    return f"{name}: looks noisy, about {seen:.2g} of 255: consider --noise auto"


def _only(read: Read, shown: NDArray[np.bool_], rows: slice) -> NDArray[Any]:
    """Read rows, what is not shown as if it were clipped, so that it does not count."""
    values = read(rows).copy()
    values[~shown[rows]] = 1.0
    return values


def estimated_noise(unit: NDArray[Any]) -> float:
    """Estimate the standard deviation of white noise in an image.

    The second difference along both axes leaves little of an image but the noise of a pixel
    (Immerkaer, "Fast noise variance estimation", Comput. Vis. Image Underst. 64, 1996, 300-302).
    Its root mean square is taken over blocks of 32 x 32 pixels, and of these the 5% quantile, as
    structure adds to it everywhere but in the flattest places. Blocks in which
    a twentieth of the pixels is clipped do not count. Fine texture all over the image
    is taken for noise: for Kodak's images the estimate is 0.9 to 4.3 of 255.

    Parameters
    ----------
    unit : array, (H, W) or (H, W, 3)
        In [0, 1]; three channels are estimated apart, and averaged in the square.

    Returns
    -------
    float
        Of 255; 0 where every block is clipped, as in an image of two values.
    """
    return _estimated(lambda rows: unit[rows], unit.shape[:2])


def _estimated(read: Read, size: tuple[int, ...]) -> float:
    """Estimate as :func:`estimated_noise` does, of an image (H, W) that is read by rows."""
    if min(size) < 3:
        return 0.0
    height, width = (min(side - 2, _BLOCK) for side in size)
    tops = range(0, size[0] - 2 - height + 1, height)
    # Of a large image some rows of blocks say as much as all.
    skipped = max(1, round(size[0] * size[1] / _ENOUGH))
    bands = (read(slice(top, top + height + 2)) for top in tops[::skipped])
    found = [_of_band(band, width) for band in bands]  # by band, by channel
    variances = [_least(np.concatenate(powers)) for powers in zip(*found, strict=True)]
    return 255 * math.sqrt(math.fsum(variances) / len(variances))


def _least(powers: NDArray[np.float64]) -> float:
    """Return the variance that the blocks with the least structure show; 0 if none counts."""
    return float(np.quantile(powers, _SHARE)) / _BIAS**2 if powers.size else 0.0


def _of_band(band: NDArray[Any], width: int) -> list[NDArray[np.float64]]:
    """Return, by channel, the mean squared second difference of the blocks that count.

    Channels stay side by side, as in memory: to take them apart costs as much as all that follows.
    """
    channels = 1 if band.ndim == 2 else band.shape[2]
    values = band.reshape(len(band), -1)
    middle = slice(channels, -channels)
    rough = values[2:] - 2 * values[1:-1]
    rough += values[:-2]
    rough = rough[:, 2 * channels :] - 2 * rough[:, middle] + rough[:, : -2 * channels]
    inside = values[1:-1, middle]
    clipped = (inside <= 0) | (inside >= 1)

    columns = rough.shape[1] // channels // width

    def means(of_columns: NDArray[Any]) -> NDArray[np.float64]:
        sums = of_columns[: columns * width * channels].reshape(columns, width, channels)
        found: NDArray[np.float64] = sums.mean(1, dtype=np.float64) / len(rough)
        return found

    powers = means(np.einsum("ij,ij->j", rough, rough)) / 6**2
    counts = means(np.add.reduce(clipped, 0, np.uint16)) < _SATURATED
    return [power[counted] for power, counted in zip(powers.T, counts.T, strict=True)]
