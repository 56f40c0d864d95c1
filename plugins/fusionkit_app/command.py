"""``fusionkit app``: serve the page on this machine alone."""

from __future__ import annotations

import os
import sys
import tempfile
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from fusionkit import CommandParser, UsageError, load_plugins

_ABOUT = "Fuse images in the browser: drop them, look, download. Nothing leaves this machine."

_EXAMPLES = """\
The page is served to this machine alone. Uploads and results are in a temporary folder, which is
deleted when the command ends (Ctrl-C), and uploads after an hour.

examples:
  fusionkit app
  fusionkit app --port 8000 --no-browser
"""


def parser() -> CommandParser:
    """Return the parser of the command."""
    made = CommandParser(prog="fusionkit app", description=_ABOUT, epilog=_EXAMPLES)
    add = made.add_argument
    add("--port", type=int, default=7860, help="where it is served (default 7860)")
    add("--no-browser", action="store_true", help="do not open a browser")
    add("--upload", type=int, default=200, metavar="MB", help="the largest file (default 200)")
    add("--plugin", action="append", default=[], metavar="FILE.py", help="load this plugin too")
    add("--no-plugin", action="append", default=[], metavar="NAME", help="do not load this one")
    return made


def main(arguments: Sequence[str]) -> int:
    """Serve until Ctrl-C; return the exit code.

    Raises
    ------
    UsageError
        A flag is wrong, gradio is not installed, or the port is taken.
    """
    given = parser().parse_args(arguments)
    if not 0 < given.port < 65536:
        raise UsageError(f"--port {given.port}: 1 to 65535")
    if given.upload < 1:
        raise UsageError(f"--upload {given.upload}: a megabyte or more")
    with tempfile.TemporaryDirectory(prefix="fusionkit-app-") as folder:
        # Read when gradio is imported: where uploads go, and that it tells nobody.
        os.environ["GRADIO_TEMP_DIR"] = str(Path(folder) / "uploads")
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["HF_HUB_OFFLINE"] = "1"
        print("fusionkit: starting; the first time takes a while", file=sys.stderr, flush=True)
        try:
            from .page import serve
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "gradio":
                raise
            raise UsageError("the app needs gradio: pip install 'fusionkit-imaging[app]'") from None
        registry = load_plugins(inline=given.plugin, disabled=given.no_plugin)
        results = Path(folder) / "results"
        results.mkdir()
        with serve(results, registry, given.port, given.upload) as address:
            print(f"fusionkit: {address} (Ctrl-C ends it)", flush=True)
            if not given.no_browser:
                webbrowser.open(address)
            wait()
    return 0


def wait() -> None:
    """Wait for Ctrl-C."""
    import threading

    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()
