"""The report of an ablation study: a page to look at, tables for a paper, every value as CSV.

``report.html`` is one file without any reference to the network; ``report.md`` holds the
same tables, ``report.tex`` the means for a paper, ``report.csv`` a line per cell and scene, and
``report.txt`` what a terminal shows.
"""

from __future__ import annotations

from pathlib import Path

from ...contract.hashes import hash_of_file, hash_of_folder
from ...contract.metric import METRIC
from ...contract.registry import Registry
from ...host.plugins import load_plugins
from ...imaging import write_text
from ..origins import key_of
from .latex import as_latex
from .page import page
from .summary import summarise
from .texts import as_csv, as_markdown, as_text

__all__ = ["EMBEDDED_SCENES", "write_report"]

EMBEDDED_SCENES = 6
"""How many scenes the page shows, at most, unless the caller says otherwise."""


def write_report(
    folder: Path, *, registry: Registry | None = None, scenes: int = EMBEDDED_SCENES
) -> str:
    """Write ``report.html``, ``.md``, ``.tex``, ``.csv`` and ``.txt`` into the folder of a study.

    A study that is not finished is reported as far as it goes, and says what is missing. Where
    nothing has changed since the last report, nothing is written.

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
    registry = load_plugins() if registry is None else registry
    shown, page_file = folder / "report.txt", folder / "report.html"
    if f'content="{_stamp(folder, registry, scenes)}"' in _beginning(page_file):
        return shown.read_text("utf-8")
    summary = summarise(folder, registry)
    text = as_text(summary)
    write_text(folder / "report.csv", as_csv(summary), overwrite=True)
    write_text(folder / "report.md", as_markdown(summary), overwrite=True)
    write_text(folder / "report.tex", as_latex(summary), overwrite=True)
    write_text(shown, text, overwrite=True)
    stamp = _stamp(folder, registry, scenes)
    write_text(page_file, page(summary, scenes, stamp), overwrite=True)
    return text


def _stamp(folder: Path, registry: Registry, scenes: int) -> str:
    """Return a hash of what the page is made of, and of what is written beside it.

    Images are in it by their hashes, which results name.
    """
    code = hash_of_folder(Path(__file__).parent)
    names = ("study.json", "results.jsonl", "report.csv", "report.md", "report.tex", "report.txt")
    found = [_hash_if_there(folder / name) for name in names]
    metrics = ",".join(provided.qualified for provided in registry.all(METRIC))
    return key_of(code, found, metrics, scenes)


def _hash_if_there(file: Path) -> str:
    try:
        return hash_of_file(file)
    except OSError:
        return ""


def _beginning(file: Path) -> str:
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            return opened.read(2048)
    except OSError:
        return ""
