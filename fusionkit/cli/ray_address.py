"""Where Ray is, as the command line says it."""

from __future__ import annotations

import argparse
import re

LOCAL = "local"
_ADDRESS = re.compile(r"auto|local|ray://.+|[^/\s]+:\d+")


def address(text: str) -> str:
    """Check where Ray is said to be: ``local``, ``auto``, ``HOST:PORT`` or ``ray://...``."""
    if not _ADDRESS.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expects local, auto, HOST:PORT or ray://, not {text!r}")
    return text
