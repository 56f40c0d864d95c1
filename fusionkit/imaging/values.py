"""Value ranges: from stored numbers to [0, 1] and back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fusionkit.errors import UsageError

if TYPE_CHECKING:
    from fusionkit.imaging.picture import Picture

MOST = 1e30
"""The largest magnitude of a value range; float32 holds ten times a hundred million more."""

OWN: Final = "own"
"""The range of an image from its own least value to its greatest."""

ValueRange: TypeAlias = tuple[float, float] | Literal["own"]
"""The stored values that stand for 0 and 1."""

DEPTHS = ("auto", "8", "16", "float")
"""What ``--depth`` accepts."""

BAND = 2**16
"""About how many pixels are computed with at once, in float64: they stay in the cache."""

_FORCED = {"8": np.uint8, "16": np.uint16, "float": np.float32}
_SHALLOW_TO_DEEP = ("uint8", "uint16", "float16", "float32", "float64")


@dataclass(frozen=True)
class OutputFormat:
    """How the fused image is stored: 0 is written as `low` and 1 as `high`."""

    dtype: np.dtype[Any]
    low: float
    high: float


def full_scale(dtype: DTypeLike) -> tuple[float, float]:
    """Range that a depth stands for by itself: 0 to the maximum for integers, 0 to 1 for floats.

    It is also the range of every alpha channel, whatever the range of the pixels beside it.
    """
    dtype = np.dtype(dtype)
    return (0.0, 1.0) if dtype.kind == "f" else (0.0, float(np.iinfo(dtype).max))


def bands(height: int, width: int) -> Iterator[slice]:
    """Yield slices of rows, of about :data:`BAND` pixels, that make up an image."""
    step = max(1, BAND // width)
    for first in range(0, height, step):
        yield slice(first, min(first + step, height))


def to_unit(stored: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
    """Map `low` to 0 and `high` to 1, and clip to [0, 1]."""
    unit = stored.astype(np.float64)
    _scale(unit, low, high)
    return unit


def to_unit32(stored: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Return what `to_unit` does, rounded to float32: computed so where that gives the same."""
    if stored.dtype in (np.uint8, np.uint16) and _alike_in_float32(stored.dtype, low, high):
        unit = stored.astype(np.float32)
        _scale(unit, low, high)
        return unit
    return to_unit(stored, low, high).astype(np.float32)


@lru_cache(maxsize=256)
def _alike_in_float32(dtype: np.dtype[Any], low: float, high: float) -> bool:
    """Whether every value of a type comes out as by way of float64: for whole bounds it does."""
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    unit = values.astype(np.float32)
    _scale(unit, low, high)
    return np.array_equal(unit, to_unit(values, low, high).astype(np.float32))


def _scale(unit: NDArray[Any], low: float, high: float) -> None:
    """Map `low` to 0 and `high` to 1, in place, and clip."""
    if low:
        unit -= low
    unit /= high - low
    np.clip(unit, 0.0, 1.0, out=unit)


def from_unit(unit: NDArray[Any], dtype: DTypeLike, low: float, high: float) -> NDArray[Any]:
    """Store values of [0, 1] in a dtype: 0 becomes `low`, 1 becomes `high`.

    Parameters
    ----------
    unit : array of float, any shape
        Values in [0, 1]; those outside are clipped.
    dtype : dtype
        Integer or float. Integers are rounded half to even.
    low, high : float
        The stored values of 0 and 1.

    Raises
    ------
    ValueError
        If `unit` holds a NaN or an infinity, which no image format may carry silently.
    """
    if not np.isfinite(unit).all():
        raise ValueError("only finite values can be stored as an image")
    dtype = np.dtype(dtype)
    stored: NDArray[Any] = np.asarray(np.clip(unit, 0.0, 1.0, dtype=np.float64))
    stored *= high - low
    stored += low
    if dtype.kind == "f":
        return stored.astype(dtype)
    info = np.iinfo(dtype)
    # The maximum of a 64-bit integer rounds up to a float64 that no longer fits the integer.
    ceiling = float(info.max)
    if int(ceiling) > info.max:
        ceiling = math.nextafter(ceiling, 0.0)
    np.rint(stored, out=stored)
    return np.clip(stored, float(info.min), ceiling, out=stored).astype(dtype)


def output_format(pictures: Sequence[Picture], depth: str = "auto") -> OutputFormat:
    """Choose how the fused image is stored.

    Parameters
    ----------
    pictures : sequence of Picture
        The sources, at least one.
    depth : {"auto", "8", "16", "float"}
        ``"8"``, ``"16"`` and ``"float"`` force uint8, uint16 and float32 at full scale.
        ``"auto"`` keeps dtype and range where all sources agree on both (12-bit data in,
        12-bit data out); otherwise, and where one is stretched, it takes the deepest dtype
        among them, at full scale, an integer type other than uint8 and uint16 counting as
        uint16.

    Raises
    ------
    UsageError
        If `depth` is none of these.
    """
    if depth not in DEPTHS:
        raise UsageError(f"unknown depth {depth!r}: choose from {', '.join(DEPTHS)}")
    if depth in _FORCED:
        return OutputFormat(np.dtype(_FORCED[depth]), *full_scale(_FORCED[depth]))
    stored = {(picture.dtype, picture.low, picture.high) for picture in pictures}
    if len(stored) == 1 and not any(picture.stretched for picture in pictures):
        return OutputFormat(*stored.pop())
    names = {name if name in _SHALLOW_TO_DEEP else "uint16" for name in _dtype_names(pictures)}
    dtype = np.dtype(max(names, key=_SHALLOW_TO_DEEP.index))
    return OutputFormat(dtype, *full_scale(dtype))


def _dtype_names(pictures: Sequence[Picture]) -> set[str]:
    return {picture.dtype.name for picture in pictures}


def value_ranges(
    ranges: Sequence[str], stretch: Sequence[int], count: int
) -> dict[int, ValueRange]:
    """Read the settings ``range`` and ``stretch``: the value ranges of sources, from 0.

    Parameters
    ----------
    ranges : sequence of str
        See `parse_range`.
    stretch : sequence of int
        The sources whose own values are their range, from 1; 0 is every one that has no other.
    count : int
        How many sources there are.

    Raises
    ------
    UsageError
        If a range cannot be read, there is no such source, or one has both.
    """
    given: dict[int, ValueRange] = dict(parse_range(text, count) for text in ranges)
    for number in stretch:
        if number > count:
            raise UsageError(f"--stretch {number}: there is no source {number}; there are {count}")
        if number - 1 in given:
            raise UsageError(f"source {number} is given --range and --stretch: give one of them")
    stretched = range(count) if 0 in stretch else [number - 1 for number in stretch]
    return {**dict.fromkeys(stretched, OWN), **given}


def parse_range(text: str, count: int) -> tuple[int, tuple[float, float]]:
    """Read a ``K:LO,HI`` option: the value range of one source.

    Parameters
    ----------
    text : str
        For example ``"2:0,4095"``. K counts from 1.
    count : int
        How many sources there are.

    Returns
    -------
    index : int
        The source, counted from 0.
    value_range : (float, float)
        LO and HI.

    Raises
    ------
    UsageError
        If the text is not of that form, there is no source K, or LO is not below HI.
    """
    number, _, bounds = text.partition(":")
    value_range = parse_bounds(bounds, text)
    try:
        source = int(number)
    except ValueError:
        raise _no_range(text) from None
    if not 1 <= source <= count:
        raise UsageError(f"--range {text}: there is no source {source}; K goes from 1 to {count}")
    return source - 1, value_range


def parse_bounds(bounds: str, text: str) -> tuple[float, float]:
    """Read ``LO,HI``; raise UsageError, naming the whole option ``text``, if it is not that."""
    try:
        low, high = (float(bound) for bound in bounds.split(","))
    except ValueError:
        raise _no_range(text) from None
    return check_range((low, high), f"--range {text}")


def _no_range(text: str) -> UsageError:
    return UsageError(f"--range {text}: expected K:LO,HI, for example 2:0,4095 for source 2")


def check_range(value_range: tuple[float, float], what: str) -> tuple[float, float]:
    """Return the range as floats, or raise a UsageError that begins with `what`."""
    low, high = (float(bound) for bound in value_range)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"{what}: the range {low:g},{high:g} must be finite, with LO below HI")
    if max(-low, high) > MOST or high - low < 1 / MOST:  # or values overflow where they are scaled
        raise UsageError(
            f"{what}: the range {low:g},{high:g} must lie within {MOST:g} of zero, and LO "
            f"{1 / MOST:g} below HI at least"
        )
    return low, high
