"""What was measured, as text for a terminal."""

from __future__ import annotations

from typing import Any

from .speed import SAMPLING


def as_text(measured: dict[str, Any]) -> str:
    """Return what :func:`.speed.measure` found as a table."""
    sampling, seconds = measured["sampling"], measured["seconds"]
    lines = [_about(measured), ""]
    for part, spent in seconds.items():
        share = f"  {spent / sampling['median']:6.1%} of sampling" if part in SAMPLING else ""
        lines.append(f"  {part:<14} {spent:9.4f} s{share}")
    lines += [
        "",
        f"sampling {sampling['median']:.3f} s ({sampling['least']:.3f} to {sampling['most']:.3f} "
        f"in {sampling['repeats']}; the first, which also chooses kernels, {sampling['first']:.3f})"
        f", NFE {measured['nfe']:g}{_tiles(measured['tiled'])}",
        _rates(measured),
        f"peak memory {measured['peak_memory_bytes'] / 2**20:.0f} MiB",
    ]
    return "\n".join(lines)


def comparison_as_text(measured: dict[str, Any], names: tuple[str, str]) -> str:
    """Return what :func:`.speed.compare` found."""
    ratio = measured["ratio"]
    each = [sum(column) / len(column) for column in zip(*measured["sampling"], strict=True)]
    rows = [
        f"  {letter} {name}: {mean:.3f} s on average, NFE {nfe:g}"
        for letter, name, mean, nfe in zip("AB", names, each, measured["nfe"], strict=True)
    ]
    return "\n".join(
        [
            *rows,
            f"sampling time B / A, pair by pair: median {ratio['median']:.3f}, "
            f"{ratio['least']:.3f} to {ratio['most']:.3f} in {ratio['repeats']}",
        ]
    )


def _about(measured: dict[str, Any]) -> str:
    width, height = measured["size"]
    environment, recipe = measured["environment"], measured["recipe"]
    names = ", ".join(recipe[group]["name"] for group in ("estimator", "weighting", "objective"))
    return (
        f"{width}x{height}, {measured['sources']} sources; {names}\n"
        f"{environment['device']} ({environment['device_name']}), {environment['threads']} threads,"
        f" {environment['precision']}, torch {environment['torch']}"
    )


def _tiles(side: int) -> str:
    return f", tiles of {side}" if side else ""


def _rates(measured: dict[str, Any]) -> str:
    rate = measured["convolution_tflop_per_second"]
    if measured["gflop"] is None:
        return f"the estimator does not tell its operations; convolutions reach {rate:.3f} TFLOP/s"
    reached = measured["tflop_per_second"]
    return (
        f"estimator {measured['gflop']:.1f} GFLOP at {reached:.3f} TFLOP/s; "
        f"convolutions reach {rate:.3f}: {reached / rate:.0%} of it"
    )
