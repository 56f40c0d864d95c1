"""Writing a trace into a folder: its numbers as JSON, and two pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..host.saving import check_folder, make_folder
from ..imaging import atomic_write, write_text
from .summary import summary_text

if TYPE_CHECKING:
    from .collect import Trace


def save(trace: Trace, folder: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write a finished trace; see :meth:`fusionkit.Trace.save`."""
    summary = summary_text(trace.summary())
    check_folder(folder, overwrite)
    # Only now: matplotlib takes a second to import, which a run without a trace is spared.
    from .curves import draw_curves
    from .strip import draw_strip

    pictures = {"strip.png": draw_strip(trace), "curves.png": draw_curves(trace)}
    place = Path(folder)
    make_folder(place)
    # First: the pictures beside it are known by it, should this be interrupted.
    write_text(place / "trace.json", summary, overwrite=overwrite)
    for name, data in pictures.items():
        with atomic_write(place / name, overwrite=overwrite) as file:
            file.write(data)
