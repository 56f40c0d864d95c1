"""The command line: one small module a command, imported when that command is given."""

from __future__ import annotations

import atexit
import errno
import importlib
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedWriter, FileIO, TextIOWrapper
from types import FrameType
from typing import Any, TextIO

from .._version import __version__
from ..contract.command import BUILT_IN
from ..errors import Ended, FusionkitError, FusionkitWarning, PluginError, UsageError, visible
from ..host.memory import keep_freed_memory, spare_collecting

# How torch says that a CPU, and Apple's MPS, have too little memory.
_LACK = ("DefaultCPUAllocator: can't allocate memory", "MPS backend out of memory")

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
    # Large tensors in large pages: mapping them by 4 KiB took two fifths of the processor's time.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    given = list(sys.argv[1:] if arguments is None else arguments)
    _open_streams()
    if arguments is None:
        spare_collecting()
        keep_freed_memory()
        _tell_of_the_end()
        _keep_stdout()
        _end_cleanly()
    code = 0
    try:
        with _warnings_in_one_line():
            code = _dispatch(given)
    except KeyboardInterrupt:
        code = complain("interrupted", 130)
    except Ended as ended:
        code = complain(f"ended by {signal.Signals(ended.number).name}", 128 + ended.number)
    except SystemExit:  # --help
        if _written(0) == 0:
            raise
        return 1
    except Exception as error:
        if error is not _last_refusal():  # before a flush, which raises another
            explained = explain(error)
            code = complain(str(explained), explained.exit_code)
    return _written(code)


class _Stdout(FileIO):
    """Standard output that keeps why it took no more, whoever wrote and did not look."""

    refusal: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.refusal = error
            raise


def _last_refusal() -> OSError | None:
    """Return what the last write to stdout raised that was refused."""
    ours = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return ours.refusal if isinstance(ours, _Stdout) else None


def _refusal() -> OSError | None:
    """Return why stdout takes nothing any more; None if all was written."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return error
    return _last_refusal()


def _written(code: int) -> int:
    """Return the exit code once all is written: 1 if it cannot be, unless nobody reads it."""
    refusal = _refusal()
    if refusal is None:
        return code
    silence_stdout()
    if isinstance(refusal, BrokenPipeError):
        return code
    return complain(f"standard output cannot be written: {refusal.strerror}", 1)


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
    if isinstance(error, FileNotFoundError) and not _in_a_folder():
        return UsageError("the current folder is gone: change to one that is there")
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return FusionkitError(f"{error.filename}: {error.strerror}")
    return FusionkitError(
        f"unexpected {type(error).__name__}: {error}: FUSIONKIT_DEBUG=1 shows where it comes from"
    )


def _in_a_folder() -> bool:
    """Whether there is a current folder: somebody may have removed it."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


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
    """Print one line about the run on stderr; if that takes none, nobody can be told."""
    with suppress(OSError):
        print_line(f"fusionkit: {' '.join(message.split())}", sys.stderr)


def silence_stdout() -> None:
    """Write no more: the reader of our output, such as head, has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_line(line: str, stream: TextIO) -> None:
    """Print one line; what steers a terminal or the encoding lacks, as in names, is escaped."""
    encoding = stream.encoding or "utf-8"
    print(visible(line).encode(encoding, "backslashreplace").decode(encoding), file=stream)


def _tell_of_the_end() -> None:
    """Tell in a line, and by the exit code, when what a plugin left for the end fails.

    Python prints a traceback then, and ends with the code of before.
    """
    usual, failed = sys.unraisablehook, []

    def noted(raised: Any) -> None:
        if "atexit" not in (raised.err_msg or "") or os.environ.get("FUSIONKIT_DEBUG") == "1":
            usual(raised)
            return
        failed.append(raised)
        where = getattr(raised.object, "__module__", None)
        what = f"{type(raised.exc_value).__name__}: {raised.exc_value}"
        say(f"error: what {where} left for the end of the process failed: {what}")

    def last() -> None:
        if failed:
            sys.stdout.flush()
            os._exit(1)

    sys.unraisablehook = noted
    atexit.register(last)  # before all others, which then run first


def _open_streams() -> None:
    """Print to nowhere where the shell closed a stream (``>&-``), and leave no file its number."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _end_cleanly() -> None:
    """Take back what is being written when somebody ends us, unless they said not to hear them."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    raise Ended(number)


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
    sys.stdout = TextIOWrapper(
        BufferedWriter(_Stdout(kept, "w")),
        encoding=ours.encoding,
        errors=ours.errors,
        line_buffering=getattr(ours, "line_buffering", False),
        write_through=getattr(ours, "write_through", False),
    )


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
        code: int = importlib.import_module(f".{command.replace('-', '_')}", __name__).main(rest)
        return code
    code = _plugged().run(command, rest)
    return int(code)


def _plugged() -> Any:
    return importlib.import_module(".plugged", __name__)
