"""The command line: one small module a command, imported when that command is given."""

from __future__ import annotations

import atexit
import errno
import gc
import importlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any, TextIO

from .._version import __version__
from ..contract.command import BUILT_IN
from ..errors import FusionkitError, FusionkitWarning, PluginError

# How torch says that a CPU, and Apple's MPS, have too little memory.
_LACK = ("DefaultCPUAllocator: can't allocate memory", "MPS backend out of memory")

_COLLECTED_AT = 10_000
"""New objects after which garbage is looked for, instead of Python's 700. Not many more: garbage
may hold images."""

_HELP = """\
usage: fusionkit COMMAND ...

Image fusion with pretrained diffusion priors, from interchangeable plugins.

commands:
{commands}

options:
  -h, --help     show this help, or that of a command
  --version      show the version

examples:
  fusionkit run ir.png vi.png -o fused.png
  fusionkit run near.jpg far.jpg -o fused.png --weighting dig --weighting.window 15
  fusionkit run --weighting dig --help
  fusionkit plugins dig
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, 1 (something failed) or 2 (usage).

    Set ``FUSIONKIT_DEBUG=1`` to get tracebacks instead of one-line messages.
    """
    # Threads that wait by spinning take the processor from whatever else runs: beside one busy
    # process, that made a run take more than twice as long. Read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    given = list(sys.argv[1:] if arguments is None else arguments)
    _open_streams()
    if arguments is None:
        _spare_collecting()
        _keep_stdout()
    try:
        with _warnings_in_one_line():
            return _dispatch(given)
    except KeyboardInterrupt:
        return complain("interrupted", 130)
    except BrokenPipeError:
        silence_stdout()
        return 0
    except Exception as error:
        explained = explain(error)
        return complain(str(explained), explained.exit_code)


def explain(error: BaseException) -> FusionkitError:
    """Return what to tell the person of an exception; under FUSIONKIT_DEBUG=1, raise it."""
    if os.environ.get("FUSIONKIT_DEBUG") == "1":
        raise error
    # A plugin is blamed for what it raises, but not for what the allocator of a CPU says.
    reason = error.__cause__ if isinstance(error, PluginError) else error
    if reason is not None and _lacks_memory(reason):
        return FusionkitError("out of memory: use smaller images, or another --device")
    if isinstance(error, FusionkitError):
        return error
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return FusionkitError(f"{error.filename}: {error.strerror}")
    return FusionkitError(
        f"unexpected {type(error).__name__}: {error}: FUSIONKIT_DEBUG=1 shows where it comes from"
    )


def _lacks_memory(error: BaseException) -> bool:
    """Whether there was too little memory, and not something else wrong with it.

    torch has an exception of its own for CUDA; of other devices, only the text tells.
    """
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    kinds = {kind.__name__ for kind in type(error).__mro__}  # torch may not be imported
    said = isinstance(error, RuntimeError) and any(text in str(error) for text in _LACK)
    return said or bool(kinds & {"MemoryError", "OutOfMemoryError"})


def complain(message: str, code: int) -> int:
    """Print one line on stderr, and return the exit code."""
    say(f"error: {message}")
    return code


def say(message: str) -> None:
    """Print one line about the run on stderr."""
    print_line(f"fusionkit: {' '.join(message.split())}", sys.stderr)


def silence_stdout() -> None:
    """Write no more: the reader of our output, such as head, has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_line(line: str, stream: TextIO) -> None:
    """Print one line; what the stream's encoding lacks, as in a file's name, is escaped."""
    encoding = stream.encoding or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding), file=stream)


def _spare_collecting() -> None:
    """Look for garbage in cycles rarely, and not once more at the end of the process.

    Importing torch makes a million objects, all of which stay: looking through them again and
    again, and when all is done, takes longer than a small fusion.
    """
    gc.set_threshold(_COLLECTED_AT)
    atexit.register(gc.freeze)


def _open_streams() -> None:
    """Print to nowhere where the shell closed a stream (``>&-``), and leave no file its number."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _keep_stdout() -> None:
    """Leave standard output to what we print: whatever else is written there goes to stderr.

    What plugins print is told in their name (:mod:`fusionkit.contract.stray`); a library in C
    writes to the file descriptor, and would stand amid the results that a program reads.
    """
    ours = sys.stdout
    try:
        kept = os.dup(ours.fileno())
        os.dup2(sys.stderr.fileno(), ours.fileno())
    except (OSError, ValueError):  # not files, as under some launchers
        return
    sys.stdout = open(kept, "w", encoding=ours.encoding, errors=ours.errors)  # noqa: SIM115
    if isinstance(ours, TextIOWrapper) and isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=ours.line_buffering, write_through=ours.write_through)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Show warnings of ours without the place in the code that they come from."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, FusionkitWarning):
                say(f"warning: {message}")
            else:
                usual(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def _dispatch(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help"):
        there = {**BUILT_IN, **_plugged().listed(given[1:])}
        width = max(map(len, there))
        lines = (f"  {name:<{width}}  {summary}" for name, summary in there.items())
        print(_HELP.format(commands="\n".join(lines)), end="")
        return 0 if given else 2
    if "" in given:
        return complain("an argument is an empty text: is a variable of the shell unset?", 2)
    command, *rest = given
    if command == "--version":
        print(f"fusionkit {__version__}")
        return 0
    if command in BUILT_IN:
        code: int = importlib.import_module(f".{command}", __name__).main(rest)
        return code
    code = _plugged().run(command, rest)
    return int(code)


def _plugged() -> Any:
    return importlib.import_module(".plugged", __name__)
