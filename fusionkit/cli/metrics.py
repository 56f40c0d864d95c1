"""Flags that say what is measured, and how."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..errors import UsageError


def add_metric_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what is measured; ``--metric.OPTION`` is taken out before."""
    from ..evaluation.conventions import CONVENTIONS, OURS
    from ..evaluation.presets import DEFAULT_PRESET, PRESETS

    parser.add_argument(
        "--preset",
        metavar="NAME",
        help=f"metrics by task: {', '.join(PRESETS)}, all (default: {DEFAULT_PRESET})",
    )
    parser.add_argument(
        "--metric",
        metavar="A,B",
        help="these metrics instead; with --preset, or a plus in front (+A,B), in addition to it; "
        "--metric.OPTION VALUE sets an option of all metrics that have it",
    )
    parser.add_argument(
        "--convention",
        default=OURS,
        metavar="NAME",
        help=f"compute them as a toolbox of the field does: {', '.join(CONVENTIONS)} "
        "(default: %(default)s)",
    )


def split_metric_options(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Take ``--metric.OPTION VALUE`` out of the arguments.

    Returns
    -------
    options, rest
        The texts by option, and the other arguments.
    """
    prefix = "--metric."
    options: dict[str, str] = {}
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if not word.startswith(prefix):
            rest.append(word)
            continue
        flag, equals, value = word.partition("=")
        text = value if equals else next(words, "")
        if not text or (text.startswith("--") and not equals):
            raise UsageError(f"{flag} needs a value")
        options[flag.removeprefix(prefix)] = text
    return options, rest
