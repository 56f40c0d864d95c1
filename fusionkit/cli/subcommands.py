"""A command that only has subcommands, each a module with ``main(arguments) -> exit code``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence

from ..contract.options import suggest
from ..errors import UsageError

_HELP = """\
usage: fusionkit {command} SUBCOMMAND ...

{about}

subcommands:
{subcommands}

options:
  -h, --help  show this help, or that of a subcommand

examples:
{examples}
"""


def run_subcommand(
    command: str,
    about: str,
    subcommands: Mapping[str, tuple[str, str]],
    examples: Sequence[str],
    arguments: Sequence[str],
) -> int:
    """Run the subcommand that the first argument names; return its exit code.

    Parameters
    ----------
    command
        Their common name: ``bench`` of ``fusionkit bench speed``.
    about
        What they are for, in a sentence.
    subcommands
        By name, the module that is imported for it, and what it does.
    examples
        Command lines.

    Raises
    ------
    UsageError
        There is no such subcommand.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, subcommands))
        listed = (f"  {name:<{width}}  {summary}" for name, (_, summary) in subcommands.items())
        print(
            _HELP.format(
                command=command,
                about=about,
                subcommands="\n".join(listed),
                examples="\n".join(f"  {line}" for line in examples),
            ),
            end="",
        )
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in subcommands:
        hint = suggest(name, subcommands) or f" There are {', '.join(subcommands)}."
        raise UsageError(f"unknown subcommand {name!r} of {command}.{hint}")
    module, _ = subcommands[name]
    code: int = importlib.import_module(module).main(rest)
    return code
