"""Many scenes: folders of sources, paired by name, or listed in a CSV manifest."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import UsageError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".npy")


@dataclass(frozen=True)
class Scenes:
    """The scenes that were found, and what could not be made one.

    Attributes
    ----------
    found
        Name to the paths of its sources, sorted by name.
    problems
        Name to why it is not a scene.
    """

    found: dict[str, tuple[Path, ...]]
    problems: dict[str, str]


def holds_scenes(sources: Sequence[str | Path]) -> bool:
    """Whether the sources name many scenes (folders, a manifest) and not the images of one.

    Raises
    ------
    UsageError
        Some are folders and some are not.
    """
    folders = [Path(source).is_dir() for source in sources]
    if any(folders) and not all(folders):
        raise UsageError("sources are all files, or all folders, not some of each")
    return any(folders) or (len(sources) == 1 and Path(sources[0]).suffix.lower() == ".csv")


def find_scenes(sources: Sequence[str | Path]) -> Scenes:
    """Find the scenes of several folders, of one folder, or of a manifest.

    Several folders hold one source of each scene, under one stem (``ir/07.png``
    and ``vi/07.jpg``). One folder holds all, named ``SCENE_ROLE`` (``07_ir.png``,
    ``07_vi.png``). A manifest is a CSV file with a header: the first column names
    the scene, the others its sources, relative to the file.

    Raises
    ------
    UsageError
        A folder or manifest cannot be read, or nothing in it makes a scene.
    """
    paths = [Path(source) for source in sources]
    if len(paths) > 1:
        groups, problems = _by_stem(paths)
    elif paths[0].is_dir():
        groups, problems = _by_role(paths[0]), {}
    else:
        groups, problems = _from_manifest(paths[0]), {}
    found = {}
    for name in sorted(groups):
        if len(groups[name]) < 2:
            problems[name] = f"{groups[name][0]} is the only source of its scene"
        else:
            found[name] = tuple(groups[name])
    if not found:
        listed = ", ".join(map(str, paths))
        why = next(iter(problems.values()), "there are no images")
        raise UsageError(f"{listed}: no scene with two sources or more: {why}")
    return Scenes(found, dict(sorted(problems.items())))


def images_by_stem(folder: Path) -> dict[str, list[Path]]:
    """Return the images of a folder by stem; raise UsageError if it cannot be listed."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UsageError(f"{folder}: cannot be listed: {error.strerror}") from None
    found: dict[str, list[Path]] = {}
    for entry in entries:
        if entry.suffix.lower() in EXTENSIONS and not entry.name.startswith("."):
            found.setdefault(entry.stem, []).append(entry)
    return found


def doubled_stem(paths: Sequence[Path]) -> str:
    """Say that a folder holds one stem twice."""
    return f"{paths[0].parent} holds {' and '.join(path.name for path in paths)}: keep one of them"


def _by_stem(folders: Sequence[Path]) -> tuple[dict[str, list[Path]], dict[str, str]]:
    listings = [images_by_stem(folder) for folder in folders]
    groups: dict[str, list[Path]] = {}
    problems: dict[str, str] = {}
    for stem in sorted(set().union(*listings)):
        found = [listing.get(stem, []) for listing in listings]
        doubled = next((paths for paths in found if len(paths) > 1), None)
        missing = [str(folder) for folder, paths in zip(folders, found, strict=True) if not paths]
        if doubled is not None:
            problems[stem] = doubled_stem(doubled)
        elif missing:
            problems[stem] = f"no image of this name in {', '.join(missing)}"
        else:
            groups[stem] = [paths[0] for paths in found]
    return groups, problems


def _by_role(folder: Path) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for stem, paths in images_by_stem(folder).items():
        scene = stem.rpartition("_")[0] or stem
        groups.setdefault(scene, []).extend(paths)
    return groups


def _from_manifest(manifest: Path) -> dict[str, list[Path]]:
    try:
        with open(manifest, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError:
        raise UsageError(f"manifest {manifest} does not exist") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"manifest {manifest} cannot be read: {error}") from None
    groups: dict[str, list[Path]] = {}
    for number, row in enumerate(rows[1:], start=2):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        name, sources = cells[0], [manifest.parent / cell for cell in cells[1:] if cell]
        if not name or not sources:
            raise UsageError(f"manifest {manifest}, line {number}: expected a name, then sources")
        if Path(name).name != name or "\\" in name:  # it names the output, in the folder given
            raise UsageError(f"manifest {manifest}, line {number}: {name!r} cannot name a file")
        if name in groups:
            raise UsageError(f"manifest {manifest}, line {number}: scene {name!r} is named twice")
        groups[name] = sources
    return groups
