"""Folders of sources: pairing by stem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import UsageError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".npy")


@dataclass(frozen=True)
class Pairing:
    """What folders hold: scenes found in all of them, and what could not be paired.

    Attributes
    ----------
    scenes
        Stem to one path per folder, sorted by stem.
    problems
        Stem to why it is not a scene.
    """

    scenes: dict[str, tuple[Path, ...]]
    problems: dict[str, str]


def pair_folders(folders: Sequence[str | Path]) -> Pairing:
    """Pair the images of several folders by stem (``ir/07.png`` with ``vi/07.jpg``).

    Raises
    ------
    UsageError
        A folder cannot be listed, or no stem is in all of them.
    """
    listings = [_images_by_stem(Path(folder)) for folder in folders]
    scenes: dict[str, tuple[Path, ...]] = {}
    problems: dict[str, str] = {}
    for stem in sorted(set().union(*listings)):
        found = [listing.get(stem, []) for listing in listings]
        doubled = next((paths for paths in found if len(paths) > 1), None)
        missing = [str(folder) for folder, paths in zip(folders, found, strict=True) if not paths]
        if doubled is not None:
            names = " and ".join(path.name for path in doubled)
            problems[stem] = f"{doubled[0].parent} holds {names}: keep one of them"
        elif missing:
            problems[stem] = f"no image of this name in {', '.join(missing)}"
        else:
            scenes[stem] = tuple(paths[0] for paths in found)
    if not scenes:
        listed = ", ".join(str(folder) for folder in folders)
        raise UsageError(
            f"no image is in all of {listed}: the images of one scene need one name "
            "(ir/07.png, vi/07.png)"
        )
    return Pairing(scenes, problems)


def _images_by_stem(folder: Path) -> dict[str, list[Path]]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UsageError(f"{folder}: cannot be listed: {error.strerror}") from None
    found: dict[str, list[Path]] = {}
    for entry in entries:
        if entry.suffix.lower() in EXTENSIONS and not entry.name.startswith("."):
            found.setdefault(entry.stem, []).append(entry)
    return found
