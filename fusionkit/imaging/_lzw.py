"""TIFF's LZW: its Clears are checked before the decoder follows them (TIFF 6.0, 13).

The code behind a Clear stands for one byte, since the table of strings is empty. imagecodecs
checks every other code against its table, but takes this one for granted: a larger one leads it
out of the table, and the process with it. Clears are found without decoding: how wide a code is
depends only on how many there are since the last one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CLEAR, _END, _FIRST = 256, 257, 258  # _FIRST is the first code of a string
_MOST_CODES = 5120 - _FIRST  # of one table; old writers let it grow past 4096 strings
_USUAL_CODES = 3840  # the others clear a table before it comes to 4096
_LEAST_GAIN = 256  # bytes between two Clears at the least


def decode_lzw(data: bytes, out: memoryview) -> Any:
    """Decode one strip or tile.

    Parameters
    ----------
    data : bytes
        Codes, in either order of bits.
    out : memoryview
        Where to put the bytes; what does not fit is left out.

    Returns
    -------
    buffer
        The part of `out` that was filled.

    Raises
    ------
    ValueError
        If the data are no LZW.
    """
    import imagecodecs

    _check_clears(data, out.nbytes)
    return imagecodecs.lzw_decode(data, out=out)


@dataclass(frozen=True)
class _Table:
    """The codes behind a Clear that ends `phase` bits into a byte.

    `ends` counts bits from the Clear, `bytes` from the byte where it ends. A code is a part of
    the three bytes there; where `masks` leave `stops` it is a Clear or the End.
    """

    ends: NDArray[np.int64]
    bytes: NDArray[np.int64]
    masks: NDArray[np.uint32]
    stops: NDArray[np.uint32]


@cache
def _table(late: bool, phase: int) -> _Table:
    number = np.arange(_MOST_CODES)
    strings = _FIRST + number + (0 if late else 1)  # that the encoder knows when it writes a code
    widths = np.select([strings <= 512, strings <= 1024, strings <= 2048], [9, 10, 11], 12)
    ends = np.cumsum(widths)
    starts = phase + ends - widths
    shifts = starts & 7 if late else 24 - (starts & 7) - widths
    masks = (1 << widths) - 2 << shifts  # all but the lowest bit
    return _Table(ends, starts >> 3, masks.astype(np.uint32), (_CLEAR << shifts).astype(np.uint32))


def _check_clears(data: bytes, size: int) -> None:
    """Raise a ValueError unless the data begin with a Clear and a byte follows each."""
    late = data[:1] == b"\0" and len(data) > 1 and data[1] & 1 == 1  # old writers: low bits first
    if not late and not (data[:1] == b"\x80" and data[1:2] < b"\x80"):
        raise ValueError("its LZW data do not begin with a Clear")
    stored = np.frombuffer(data + bytes(2), np.uint8)
    at, end = 9, 8 * len(data)  # in bits; a Clear has 9
    for _ in range(2 + size // _LEAST_GAIN):
        table = _table(late, at & 7)
        inside = int(np.searchsorted(table.ends, end - at, side="right"))
        if inside == 0:
            return
        codes, stop = _next_stop(stored[at >> 3 :], table, inside, late)
        if stop != 0 and codes[0] & table.stops[0]:  # the bit of 256
            raise ValueError("a Clear in its LZW data is followed by no byte")
        if stop is None and inside == _MOST_CODES:
            raise ValueError("its LZW data lack a Clear")
        if stop is None or codes[stop] & table.stops[stop] >> 8:  # the bit of 1, which End has
            return
        at += int(table.ends[stop])
    raise ValueError("its LZW data are nearly all Clears")


def _next_stop(
    near: NDArray[np.uint8], table: _Table, inside: int, late: bool
) -> tuple[NDArray[Any], int | None]:
    """Return three bytes for every code looked at, and which of them is a Clear or the End."""
    for count in (min(inside, _USUAL_CODES), inside):
        where = table.bytes[:count]
        some: NDArray[Any] = near[: int(where[-1]) + 3].astype(np.uint32)
        high, middle, low = some[:-2], some[1:-1], some[2:]
        if late:
            high, low = low, high
        codes = (high << 16 | middle << 8 | low)[where]
        stops = codes & table.masks[:count] == table.stops[:count]
        first = int(stops.argmax())
        if stops[first]:
            return codes, first
    return codes, None
