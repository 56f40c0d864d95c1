"""Mapping to stored values, the choice of the output format, and the --range option."""

from __future__ import annotations

import numpy as np
import pytest

from fusionkit.errors import UsageError
from fusionkit.imaging import (
    OutputFormat,
    from_unit,
    full_scale,
    output_format,
    parse_range,
    picture_from_array,
    value_ranges,
)
from fusionkit.imaging.values import to_unit, to_unit32


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_every_level_comes_back(dtype):
    top = np.iinfo(dtype).max
    levels = np.arange(top + 1, dtype=dtype).reshape(-1, 16)
    unit = picture_from_array(levels, "a").unit()
    stored = from_unit(unit, dtype, 0, top)
    assert stored.dtype == dtype
    np.testing.assert_array_equal(stored, levels)


def test_every_twelve_bit_level_comes_back():
    levels = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    unit = picture_from_array(levels, "a", (0, 4095)).unit()
    np.testing.assert_array_equal(from_unit(unit, np.uint16, 0, 4095), levels)


def test_halves_go_to_even_and_outside_is_clipped():
    unit = np.array([0.5, 1.5, 2.5, 3.5]) / 8
    assert from_unit(unit, "uint8", 0, 8).tolist() == [0, 2, 2, 4]
    assert from_unit(np.array([-1.0, 2.0]), "uint8", 10, 20).tolist() == [10, 20]
    assert from_unit(np.array([-1.0, 2.0]), "float32", 10, 20).tolist() == [10, 20]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "uint64"])
def test_ranges_beyond_the_dtype_do_not_wrap(dtype):
    info = np.iinfo(dtype)
    low, high = from_unit(np.array([0.0, 1.0]), dtype, -1e30, 1e30)
    assert low == info.min
    assert high > 0.999 * info.max


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_only_finite_values(bad):
    with pytest.raises(ValueError, match="finite"):
        from_unit(np.array([0.5, bad]), "uint8", 0, 255)


def source(make, dtype, value_range=None):
    return picture_from_array(make(dtype), dtype, value_range)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ([("uint8", None)] * 2, ("uint8", 0, 255)),
        ([("uint8", None), ("uint16", None)], ("uint16", 0, 65535)),
        ([("uint16", (0, 4095))] * 3, ("uint16", 0, 4095)),
        ([("uint16", (0, 4095)), ("uint16", None)], ("uint16", 0, 65535)),
        ([("uint16", (0, 4095)), ("uint8", None)], ("uint16", 0, 65535)),
        ([("uint8", (0, 100)), ("uint8", None)], ("uint8", 0, 255)),
        ([("uint16", None), ("float16", None)], ("float16", 0, 1)),
        ([("float64", None), ("float32", (0, 0.5))], ("float64", 0, 1)),
        ([("int16", (-1000, 3000))] * 2, ("int16", -1000, 3000)),
        ([("int16", (-1000, 3000)), ("int16", (0, 10))], ("uint16", 0, 65535)),
        ([("int16", (-1000, 3000)), ("uint8", None)], ("uint16", 0, 65535)),
        ([("uint32", (0, 9)), ("float32", None)], ("float32", 0, 1)),
    ],
)
def test_auto_depth(make, sources, expected):
    pictures = [source(make, *each) for each in sources]
    for order in (pictures, pictures[::-1]):
        chosen = output_format(order)
        assert (chosen.dtype, chosen.low, chosen.high) == expected


@pytest.mark.parametrize(
    ("depth", "expected"),
    [("8", ("uint8", 0, 255)), ("16", ("uint16", 0, 65535)), ("float", ("float32", 0, 1))],
)
def test_forced_depth(make, depth, expected):
    chosen = output_format([source(make, "uint16", (0, 4095))], depth)
    assert (chosen.dtype, chosen.low, chosen.high) == expected


def test_unknown_depth(make):
    with pytest.raises(UsageError, match="auto, 8, 16, float"):
        output_format([source(make, "uint8")], "32")


def test_full_scale():
    assert full_scale("uint8") == (0, 255)
    assert full_scale("int16") == (0, 32767)
    assert full_scale("float16") == (0, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1:0,4095", (0, (0, 4095))),
        ("2:-1e3,0.5", (1, (-1000, 0.5))),
        (" 2 : 0 , 1 ", (1, (0, 1))),
    ],
)
def test_parse_range(text, expected):
    assert parse_range(text, 2) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0,1", "expected K:LO,HI"),
        ("1:0", "expected K:LO,HI"),
        ("1:0,1,2", "expected K:LO,HI"),
        ("x:0,1", "expected K:LO,HI"),
        ("1:a,b", "expected K:LO,HI"),
        ("", "expected K:LO,HI"),
        ("0:0,1", "no source 0; K goes from 1 to 2"),
        ("3:0,1", "no source 3"),
        ("1:5,5", "LO below HI"),
        ("1:6,5", "LO below HI"),
        ("1:nan,5", "LO below HI"),
        ("1:0,inf", "LO below HI"),
    ],
)
def test_parse_range_refuses(text, reason):
    with pytest.raises(UsageError) as caught:
        parse_range(text, 2)
    assert reason in str(caught.value)
    assert f"--range {text}: " in str(caught.value)


def test_ranges_and_stretching_go_by_source():
    assert value_ranges([], (), 2) == {}
    assert value_ranges(["2:0,4095"], (), 2) == {1: (0, 4095)}
    assert value_ranges([], (0,), 3) == {0: "own", 1: "own", 2: "own"}
    assert value_ranges([], (3, 1), 3) == {0: "own", 2: "own"}
    # What is said of one source wins over what is said of all.
    assert value_ranges(["2:0,4095"], (0,), 2) == {0: "own", 1: (0, 4095)}
    with pytest.raises(UsageError, match="source 2 is given --range and --stretch"):
        value_ranges(["2:0,4095"], (2,), 2)
    with pytest.raises(UsageError, match="--stretch 3: there is no source 3"):
        value_ranges([], (3,), 2)


def test_what_is_stretched_is_stored_at_full_scale():
    one, two = (np.arange(n, n + 16, dtype=np.uint8).reshape(4, 4) for n in (10, 10))
    stretched = [picture_from_array(samples, "a", "own") for samples in (one, two)]
    assert output_format(stretched) == OutputFormat(np.dtype("uint8"), 0, 255)
    degrees = [picture_from_array(one.astype("float32"), "a", "own"), picture_from_array(two, "b")]
    assert output_format(degrees) == OutputFormat(np.dtype("float32"), 0, 1)
    counts = [picture_from_array(one.astype("int16"), "a", "own"), picture_from_array(two, "b")]
    assert output_format(counts) == OutputFormat(np.dtype("uint16"), 0, 65535)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "bounds", [(0, 255), (0, 65535), (7, 201), (-3, 4095), (3.3, 77.7), (0, 0.1)]
)
def test_float32_units_are_those_of_float64_rounded(dtype, bounds):
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    found = to_unit32(values, *bounds)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, to_unit(values, *bounds).astype(np.float32))
