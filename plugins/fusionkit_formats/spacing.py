"""The distance of pixels as a resolution, which formats of images can hold."""

from __future__ import annotations

import math

from fusionkit.imaging import NO_METADATA, Metadata, resolution_of

NO_PLACE = "what it says of its place in space is incomplete or none, and is left out"
"""A note on a file."""

_FINE = 10_000


def by_spacing(across: float, down: float) -> Metadata:
    """Return the resolution of pixels so many millimetres apart; none where that is no distance."""
    if not all(math.isfinite(each) and 1e-4 < each < 1e4 for each in (across, down)):
        return NO_METADATA
    x, y = (round(10 * _FINE / each) for each in (across, down))  # of a centimetre
    return Metadata(resolution=resolution_of(x, y, metric=True, divided_by=_FINE))
