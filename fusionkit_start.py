"""Where the ``fusionkit`` command begins: outside the package, whose import takes a moment."""

from __future__ import annotations

import sys


def main() -> int:
    """Import the command line and run it; Ctrl-C is one line from the first moment on."""
    try:
        from fusionkit.cli import main as command

        return command()
    except KeyboardInterrupt:
        print("fusionkit: error: interrupted", file=sys.stderr)
        return 130
