"""``fusionkit bench``: its subcommands, imported when they are given."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from fusionkit.cli import complain
from fusionkit.contract.options import suggest

# A subcommand is a package beside this module, whose ``command`` has main(arguments) -> exit code.
SUBCOMMANDS = {
    "quality": "fusion quality: against truth, under noise, on published sets",
    "speed": "where the time of a fusion goes; one setting against another",
}

_HELP = """\
usage: fusionkit bench SUBCOMMAND ...

Benchmarks, remade in one command.

subcommands:
{subcommands}

options:
  -h, --help  show this help, or that of a subcommand

examples:
  fusionkit bench quality -o bench/ --task general --limit 2
  fusionkit bench speed --size 640x480
  fusionkit bench quality --help
"""


def main(arguments: Sequence[str]) -> int:
    """Run a subcommand; return its exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, SUBCOMMANDS))
        lines = (f"  {name:<{width}}  {summary}" for name, summary in SUBCOMMANDS.items())
        print(_HELP.format(subcommands="\n".join(lines)), end="")
        if arguments:
            raise SystemExit(0)  # as argparse's --help does
        return 2
    name, *rest = arguments
    if name not in SUBCOMMANDS:
        hint = suggest(name, SUBCOMMANDS) or f" There are {', '.join(SUBCOMMANDS)}."
        return complain(f"unknown subcommand {name!r} of bench.{hint}", 2)
    code: int = importlib.import_module(f".{name}.command", __package__).main(rest)
    return code
