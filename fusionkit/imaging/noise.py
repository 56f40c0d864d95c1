"""How noisy a source is: given as ``K:SIGMA``, or estimated from the image itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.errors import UsageError
from fusionkit.imaging.colour import LUMA
from fusionkit.imaging.picture import Picture

LEAST_NOISE = 4.5
"""An estimate below this, of 255, counts as no noise: the finest texture looks like as much."""

Read = Callable[[slice], NDArray[Any]]
"""Makes rows of an image, (H, W) or (H, W, 3), in [0, 1]."""

_BLOCK = 32
_SHARE = 0.05  # of the blocks: those with the least structure
_BIAS = 0.93  # of this quantile: a block's root mean square varies by 4.3%
_ENOUGH = 2**20  # pixels
_LUMA_SHARE = math.hypot(*LUMA)  # of independent noise of the channels
_SATURATED = 0.05  # of a block's pixels, clipped: noise is cut off there


def parse_noise(texts: Sequence[str], count: int) -> tuple[float | None, ...]:
    """Read ``noise`` settings: every source's standard deviation.

    Parameters
    ----------
    texts : sequence of str
        ``"K:SIGMA"``, K from 1, SIGMA of 255; ``"auto"`` for those that are not named.
    count : int
        How many sources there are.

    Returns
    -------
    tuple of float or None
        Of 255; None is to be estimated.

    Raises
    ------
    UsageError
        If a text is not of that form, there is no source K, or it is named twice.
    """
    levels: dict[int, float] = {}
    for text in texts:
        if text == "auto":
            continue
        number, _, sigma = text.partition(":")
        try:
            source, level = int(number), float(sigma)
        except ValueError:
            raise UsageError(
                f"--noise {text}: expected auto, or K:SIGMA, for example 2:10 where source 2 has "
                "noise of 10 of 255"
            ) from None
        if not 1 <= source <= count:
            raise UsageError(
                f"--noise {text}: there is no source {source}; K goes from 1 to {count}"
            )
        if not 0 <= level <= 255:
            raise UsageError(f"--noise {text}: SIGMA is of 255, from 0 to 255")
        if source in levels:
            raise UsageError(f"--noise {text}: source {source} is given twice")
        levels[source] = level
    default = None if "auto" in texts else 0.0
    return tuple(levels.get(source, default) for source in range(1, count + 1))


@dataclass(frozen=True)
class SourceNoise:
    """The noise of a source, standard deviations of 255.

    Attributes
    ----------
    channel, luma
        To be taken off, of a channel and of luma; 0 for none.
    seen
        What a channel was estimated to have, 0 if that may as well be texture.
    asked
        Whether the settings speak of this source.
    found
        Whether what is to be taken off was left to be estimated, and is not nothing.
    """

    channel: float
    luma: float
    seen: float
    asked: bool
    found: bool


def source_noise(
    pictures: Sequence[Picture],
    luma: NDArray[Any],
    texts: Sequence[str],
    shown: NDArray[np.bool_] | None = None,
) -> tuple[SourceNoise, ...]:
    """Say what noise every source has, and what of it is to be taken off.

    Parameters
    ----------
    pictures
        The K sources.
    luma
        (K, H, W) of them, in [0, 1].
    texts
        The setting ``noise``.
    shown
        (K, H, W), where each source shows the scene; all do everywhere by default.

    Raises
    ------
    UsageError
        As :func:`parse_noise`.
    """
    given = parse_noise(texts, len(pictures))
    named = {text.partition(":")[0] for text in texts}
    found = []
    for source, (picture, level) in enumerate(zip(pictures, given, strict=True)):
        colour = picture.is_colour
        # Of a large image only the rows that are looked at are made.
        read = picture.unit if colour else luma[source].__getitem__
        if shown is not None:
            read = partial(_only, read, shown[source])
        seen = _estimated(read, picture.shape)
        seen = seen if seen >= LEAST_NOISE else 0.0
        asked = "auto" in named or str(source + 1) in named
        channel = seen if level is None else level
        of_luma = channel
        if colour and channel > 0:
            # Noise of channels may go together, as after demosaicing, or not: then luma has less.
            of_luma = estimated_noise(luma[source]) if level is None else level * _LUMA_SHARE
        found.append(SourceNoise(channel, of_luma, seen, asked, level is None and channel > 0))
    return tuple(found)


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
    found: list[list[NDArray[np.float64]]] = []  # by band, by channel
    for top in tops[::skipped]:
        band = read(slice(top, top + height + 2))
        channels = band[..., np.newaxis] if band.ndim == 2 else band
        found.append([_of_band(channel, width) for channel in np.moveaxis(channels, -1, 0)])
    variances = [_least(np.concatenate(powers)) for powers in zip(*found, strict=True)]
    return 255 * math.sqrt(math.fsum(variances) / len(variances))


def _least(powers: NDArray[np.float64]) -> float:
    """Return the variance that the blocks with the least structure show; 0 if none counts."""
    return float(np.quantile(powers, _SHARE)) / _BIAS**2 if powers.size else 0.0


def _of_band(band: NDArray[Any], width: int) -> NDArray[np.float64]:
    """Return the mean squared second difference of the blocks side by side that count."""
    rough = np.diff(np.diff(band.astype(np.float64), 2, 0), 2, 1) / 6
    inside = band[1:-1, 1:-1]
    clipped = (inside <= 0) | (inside >= 1)
    columns = rough.shape[1] // width
    powers, shares = (
        each[:, : columns * width].reshape(len(each), columns, width).mean((0, 2))
        for each in (rough**2, clipped)
    )
    counted: NDArray[np.float64] = powers[shares < _SATURATED]
    return counted
