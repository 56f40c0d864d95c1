"""``fusionkit bench``: its subcommands, imported when they are given."""

from __future__ import annotations

from collections.abc import Sequence

from fusionkit.cli.subcommands import run_subcommand

SUBCOMMANDS = {
    "quality": (
        "fusionkit_benchmarks.quality.command",
        "fusion quality: against truth, under noise, on published sets",
    ),
    "peers": (
        "fusionkit_benchmarks.peers.command",
        "fusions that a person can install, side by side with fusionkit's own",
    ),
    "degraded": (
        "fusionkit_benchmarks.degraded.command",
        "sources of fewer pixels, blurred, noisy, with holes: restored, and fused",
    ),
    "trust": (
        "fusionkit_benchmarks.trust.command",
        "which metrics of fusion rank results as the truth does",
    ),
    "speed": (
        "fusionkit_benchmarks.speed.command",
        "where the time of a fusion goes; one setting against another",
    ),
}

EXAMPLES = (
    "fusionkit bench quality -o bench/ --task general --limit 2",
    "fusionkit bench speed --size 640x480",
    "fusionkit bench quality --help",
)


def main(arguments: Sequence[str]) -> int:
    """Run a subcommand; return its exit code."""
    about = "Benchmarks, remade in one command."
    return run_subcommand("bench", about, SUBCOMMANDS, EXAMPLES, arguments)
