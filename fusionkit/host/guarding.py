"""Running a plugin's code while it is loaded, so that what it does there is its own affair."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..contract.stray import prints_on_stderr
from ..errors import Ended, FusionkitWarning


@contextmanager
def guarded(who: str) -> Iterator[None]:
    """Keep a plugin from ending the program, from its stdout and from the working directory.

    What it prints goes to stderr. Whatever it raises is an ``Exception``; Ctrl-C of a person is
    not of its raising, and goes on. A changed working directory is changed back, with a warning,
    since paths that people gave are relative to theirs. What ends the process at once, such as
    ``os._exit``, cannot be kept from it: ``fusionkit doctor`` says whose it is.
    """
    folder = _folder()
    try:
        with _interrupts() as asked, prints_on_stderr(who):
            yield
    except (Exception, Ended):
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and asked:
            raise
        raise ImportError(f"it raised {type(error).__name__}: {error}") from error
    finally:
        if folder is not None and _folder() != folder:
            os.chdir(folder)
            warnings.warn(
                f"{who} changed the working directory, which was changed back",
                FusionkitWarning,
                stacklevel=2,
            )


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Yield a list that is no longer empty once somebody has pressed Ctrl-C."""
    asked: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    # In another thread, or where the signal is ignored, a press raises nothing.
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield asked
        return

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        if signal.getsignal(signal.SIGINT) is note:
            signal.signal(signal.SIGINT, before)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it is gone
        return None
