"""The report of an ablation study: a page to look at, tables for a paper, every value as CSV.

``report.html`` is one file without any reference to the network; ``report.md`` holds the
same tables, and ``report.csv`` a line per cell and scene.
"""

from __future__ import annotations

from pathlib import Path

from ...components import Registry
from ...imaging import write_text
from .page import page
from .summary import summarise
from .texts import as_csv, as_markdown, as_text

__all__ = ["EMBEDDED_SCENES", "write_report"]

EMBEDDED_SCENES = 6
"""How many scenes the page shows, at most, unless the caller says otherwise."""


def write_report(
    folder: Path, *, registry: Registry | None = None, scenes: int = EMBEDDED_SCENES
) -> str:
    """Write ``report.html``, ``report.md`` and ``report.csv`` into the folder of a study.

    A study that is not finished is reported as far as it goes, and says what is missing.

    Parameters
    ----------
    folder
        What ``fusionkit ablate`` wrote. Earlier reports in it are replaced.
    registry
        Where the metrics' directions and conventions are looked up; by default the
        installed plugins. A metric that is not found there has neither.
    scenes
        Show the images of so many scenes in the page, the first ones.

    Returns
    -------
    str
        The table for a terminal.

    Raises
    ------
    UsageError
        The folder holds no study, or cannot be written to.
    """
    folder = Path(folder)
    summary = summarise(folder, registry)
    write_text(folder / "report.csv", as_csv(summary), overwrite=True)
    write_text(folder / "report.md", as_markdown(summary), overwrite=True)
    write_text(folder / "report.html", page(summary, scenes), overwrite=True)
    return as_text(summary)
