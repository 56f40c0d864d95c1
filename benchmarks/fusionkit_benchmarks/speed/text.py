"""What was measured, as text for a terminal."""

from __future__ import annotations

import statistics
from typing import Any

from fusionkit import number_of

from .measure import SAMPLING


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
    return f"{width}x{height}, {measured['sources']} sources; {_recipe_and_machine(measured)}"


def _recipe_and_machine(measured: dict[str, Any]) -> str:
    environment, recipe = measured["environment"], measured["recipe"]
    names = ", ".join(recipe[group]["name"] for group in ("estimator", "weighting", "objective"))
    threads = number_of(environment["threads"], "thread")
    return (
        f"{names}\n"
        f"{environment['device']} ({environment['device_name']}), {threads},"
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


def scaling_as_text(measured: dict[str, Any]) -> str:
    """Return what :func:`.scaling.scaling` found, as a table in Markdown."""
    follows = {
        "pixels": "pixels",
        "steps": "NFE",
        "sources": "sources, the weighting alone",
    }
    lines = [
        "| linear in | | NFE | seconds, median | over linear, median | least to most |",
        "|---|---|---|---|---|---|",
    ]
    for axis, points in measured["axes"].items():
        for point in points:
            ratio = point["ratio"]
            spread = f"{ratio['least']:.2f} to {ratio['most']:.2f}"
            lines.append(
                f"| {follows[axis]} | {point['label']} | {point['nfe']:g} "
                f"| {statistics.median(point['seconds']):.4f} | {ratio['median']:.2f} | {spread} |"
            )
    return "\n".join([_recipe_and_machine(measured), "", *lines])


def overhead_as_text(measured: dict[str, Any]) -> str:
    """Return what :func:`.overhead.overhead` found."""
    ratio = measured["ratio"]
    ours, bare = (statistics.median(column) for column in zip(*measured["seconds"], strict=True))
    return "\n".join(
        [
            _about(measured),
            "",
            f"the framework's loop {ours:.4f} s, one by hand {bare:.4f} s, medians; "
            f"greatest difference of the results {measured['difference']:.1g}",
            f"framework / hand, pair by pair: median {ratio['median']:.3f}, "
            f"{ratio['least']:.3f} to {ratio['most']:.3f} in {ratio['repeats']}",
        ]
    )


def peers_as_text(measured: dict[str, Any]) -> str:
    """Return what :func:`.peers.beside_peers` found, as tables in Markdown."""
    lines = [f"fusionkit run {' '.join(measured['flags'])}; {', '.join(measured['peers'])}"]
    for case in measured["cases"]:
        width, height = case["size"]
        what = "whole command" if case["scenes"] == 1 else f"a scene of {case['scenes']}"
        rounds = number_of(measured["repeats"], "round")
        lines += [
            "",
            f"{width}x{height}, {measured['sources']} sources, {what}, {rounds}",
            "",
            "| | seconds, median | of processor | peak MB | fusionkit / it, seconds | processor |",
            "|---|---|---|---|---|---|",
        ]
        for name, row in case["rows"].items():
            ratios = [_ratio(row.get(f"ratio of {what}")) for what in ("seconds", "processor")]
            cells = [
                name,
                f"{statistics.median(row['seconds']):.2f}",
                f"{statistics.median(row['processor']):.2f}",
                f"{row['peak'] / 1e6:.0f}",
                *ratios,
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _ratio(ratio: dict[str, float] | None) -> str:
    if ratio is None:
        return "-"
    return f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})"
