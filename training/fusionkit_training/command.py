"""``fusionkit train``: its subcommands, imported when they are given."""

from __future__ import annotations

from collections.abc import Sequence

from fusionkit.cli.subcommands import run_subcommand

SUBCOMMANDS = {
    "compact": ("fusionkit_training.compact.train", "train the noise estimator compact"),
    "learned": ("fusionkit_training.learned.train", "train the weighting learned"),
    "evaluate-compact": (
        "fusionkit_training.compact.evaluate",
        "measure what a file of compact denoises, and draw samples of it",
    ),
    "evaluate-learned": (
        "fusionkit_training.learned.evaluate",
        "measure what a file of learned fuses, where the answer is known",
    ),
}

EXAMPLES = (
    "fusionkit train compact photos/ --out runs/compact --minutes 100 --resume",
    "fusionkit train learned photos/ --out runs/learned --steps 5000",
    "fusionkit train evaluate-compact runs/compact/compact.safetensors photos/",
    "fusionkit train compact --help",
)


def main(arguments: Sequence[str]) -> int:
    """Run a subcommand; return its exit code."""
    about = "Train what ships with weights, from a folder of photographs."
    return run_subcommand("train", about, SUBCOMMANDS, EXAMPLES, arguments)
