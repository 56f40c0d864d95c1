"""What noise is to be taken off: given as ``K:SIGMA``, or estimated from the image itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fusionkit import Sources, UsageError

_LUMA_SHARE = math.hypot(0.299, 0.587, 0.114)
"""Of the channels' noise that luma has, if it is independent between them (BT.601)."""


def parse_level(text: str) -> tuple[int, float]:
    """Read ``"K:SIGMA"``, K from 1, SIGMA of 255; raise ValueError for what is not."""
    number, _, sigma = text.partition(":")
    try:
        source, level = int(number), float(sigma)
    except ValueError:
        raise ValueError(
            f"--noise {text}: expected auto, or K:SIGMA, for example 2:10 where source 2 has "
            "noise of 10 of 255"
        ) from None
    if not 0 <= level <= 255:
        raise ValueError(f"--noise {text}: SIGMA is of 255, from 0 to 255")
    return source, level


def levels_of(texts: Sequence[str], count: int) -> tuple[float | None, ...]:
    """Return every source's standard deviation, of 255; None is to be estimated.

    Parameters
    ----------
    texts
        ``"K:SIGMA"``; ``"auto"`` for those that are not named.
    count
        How many sources there are.

    Raises
    ------
    UsageError
        There is no source K.
    """
    levels = dict(parse_level(text) for text in texts if text != "auto")
    for source in levels:
        if not 1 <= source <= count:
            raise UsageError(f"--noise: there is no source {source}; K goes from 1 to {count}")
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
        Whether the options speak of this source.
    found
        Whether what is to be taken off was left to be estimated, and is not nothing.
    """

    channel: float
    luma: float
    seen: float
    asked: bool
    found: bool


def noise_of(sources: Sources, texts: Sequence[str]) -> tuple[SourceNoise, ...]:
    """Say what noise every source has, and what of it is to be taken off.

    Raises
    ------
    UsageError
        As :func:`levels_of`.
    """
    from fusionkit import estimated_noise, seen_noise  # which need NumPy: options do not

    given = levels_of(texts, len(sources.pictures))
    named = {text.partition(":")[0] for text in texts}
    found = []
    for source, (picture, level) in enumerate(zip(sources.pictures, given, strict=True)):
        if picture.measured is not None:
            found.append(_of_fewer_pixels(picture.name, source + 1, level))
            continue
        shown = None if sources.shown is None else sources.shown[source]
        # Of what is in colour, the picture itself is looked at.
        plane = sources.planes[source, 0]
        seen = seen_noise(picture, plane, shown)
        channel = seen if level is None else level
        of_luma = channel
        if picture.is_colour and channel > 0:
            # Noise of channels may go together, as after demosaicing, or not: then luma has less.
            of_luma = estimated_noise(plane) if level is None else level * _LUMA_SHARE
        asked = "auto" in named or str(source + 1) in named
        found.append(SourceNoise(channel, of_luma, seen, asked, level is None and channel > 0))
    return tuple(found)


def _of_fewer_pixels(name: str, source: int, level: float | None) -> SourceNoise:
    """Leave a source to what restores it, which begins with its own pixels.

    Raises
    ------
    UsageError
        Its noise is given, and would be left in.
    """
    if level:
        raise UsageError(
            f"--noise {source}:{level:g}: {name} has fewer pixels than others: say its noise with "
            f"them, --observe {source}:downsample,noise={level:g}"
        )
    return SourceNoise(0.0, 0.0, 0.0, True, False)
