"""Writing a trace into a folder: its numbers as JSON, and two pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..imaging import atomic_write, check_destination, write_text
from .summary import summary_text

if TYPE_CHECKING:
    from .collect import Trace

FILES = ("trace.json", "strip.png", "curves.png")
"""What a trace writes."""


def check_folder(
    folder: str | os.PathLike[str], overwrite: bool = False, beside: str | None = None
) -> None:
    """Check, before anything is computed, that a trace can be written into a folder.

    Parameters
    ----------
    folder
        It need not exist, but the folder that it is to be in must.
    overwrite
        Whether a trace in it may be replaced.
    beside
        Another file that will be written, which none of the trace's may replace.

    Raises
    ------
    UsageError
        The folder is a file, cannot be made or written to, or holds a trace and
        ``overwrite`` is false; or the trace would replace ``beside``.
    """
    place = Path(folder)
    if beside is not None and Path(beside).resolve() in [(place / f).resolve() for f in FILES]:
        raise UsageError(f"{beside}: the trace has a file of this name: give another folder")
    if place.is_dir():
        for name in FILES:
            check_destination(place / name, overwrite=overwrite)
    elif place.exists() or place.is_symlink():
        raise UsageError(f"{place}: this is a file: give a folder for the trace")
    else:  # what lets a file be made there lets the folder be
        check_destination(place)


def save(trace: Trace, folder: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write a finished trace; see :meth:`fusionkit.Trace.save`."""
    summary = summary_text(trace.summary())
    check_folder(folder, overwrite)
    # Only now: matplotlib takes a second to import, which a run without a trace is spared.
    from .curves import draw_curves
    from .strip import draw_strip

    pictures = {"strip.png": draw_strip(trace), "curves.png": draw_curves(trace)}
    place = Path(folder)
    try:
        place.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"{place}: this folder cannot be made: {error.strerror}") from None
    for name, data in pictures.items():
        with atomic_write(place / name, overwrite=overwrite) as file:
            file.write(data)
    write_text(place / "trace.json", summary, overwrite=overwrite)
