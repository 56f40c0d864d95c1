"""What is in a folder: its images, in the order of their numbers, and the folders that hold some.

Names compare in Unicode's composed form, since one name is stored in two ways (NFC by Linux and
Windows, NFD by macOS), and without case where the file system does.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..contract.reading import readers_of, stem_of
from ..errors import UsageError
from ..imaging import EXTENSIONS
from .saving import is_map, is_result

# What systems put into folders beside what people do; whatever begins with a dot is left out too.
_SYSTEM_FOLDERS = (
    "@eaDir",
    "__MACOSX",
    "System Volume Information",
    "$RECYCLE.BIN",
    "lost+found",
)

MOST_WAYS = 16
"""Names under which an entry of a folder is found: more than anybody needs."""


def images_of(folder: Path) -> list[Path]:
    """Return the images of a folder in natural order; raise UsageError if it cannot be listed."""
    return [path for path in _entries(folder) if is_image(path)]


def sources_of(folder: Path) -> list[Path]:
    """Return the images of a folder that fusionkit did not make."""
    return [path for path in images_of(folder) if not is_result(path)]


def folders_of(folder: Path) -> list[Path]:
    """Return the folders in a folder in natural order.

    Hidden ones, those of the system and links that lead back to where somebody came by are left
    out: each of two folders may hold a link to the other.
    """
    here = folder.resolve()
    passed = {here, *here.parents, *(path.resolve() for path in folder.parents)}
    return [
        path
        for path in _entries(folder)
        if os.path.isdir(path)  # False, too, where it may not be asked
        and not path.name.startswith(".")
        and path.name not in _SYSTEM_FOLDERS
        and path.resolve() not in passed
    ]


def holds_sources(folder: Path) -> bool:
    """Whether there is a source in a folder, or in one below it."""
    seen: set[Path] = set()  # what links lead to again holds no more than it did

    def found(below: Path) -> bool:
        real = below.resolve()
        if real in seen:
            return False
        seen.add(real)
        return bool(sources_of(below)) or any(map(found, folders_of(below)))

    return found(folder)


class Ways:
    """The ways by which folders are come to in one search, of which links may make many.

    A folder that links lead to is found under each of its names: each entry of each real folder is
    followed, but no more than :data:`MOST_WAYS` times. Links whose folders hold such links again
    multiply the names otherwise: two of each in fifteen folders, one in the other, are 32,768.

    Attributes
    ----------
    notes
        What was left out, and why.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._followed: Counter[tuple[tuple[Path, str], ...]] = Counter()

    def enter(self, *folders: Path) -> bool:
        """Count one more way to folders that are looked through together; whether it is taken."""
        entries = tuple((folder.parent.resolve(), folder.name) for folder in folders)
        self._followed[entries] += 1
        if self._followed[entries] <= MOST_WAYS:
            return True
        if not self.notes:
            self.notes.append(
                f"{folders[0]}: links lead here in more than {MOST_WAYS} ways: further names of "
                "this folder are left out, and of others like it"
            )
        return False


def other_kinds(folder: Path) -> list[str]:
    """Return the extensions of what is no image in a folder, such as ``.dng``."""
    names = (path for path in _entries(folder) if os.path.isfile(path) and not is_image(path))
    return sorted({path.suffix.lower() for path in names if path.suffix} - {".json"})


def is_image(path: Path) -> bool:
    """Whether a file's name says that it is an image."""
    known = path.suffix.lower() in EXTENSIONS or readers_of(path.name)
    return bool(known) and not path.name.startswith(".") and os.path.isfile(path)


def images_by_stem(folder: Path) -> dict[str, list[Path]]:
    """Return the images of a folder by stem, results too, but no maps of them.

    Raises
    ------
    UsageError
        The folder cannot be listed.
    """
    return by_stem([path for path in images_of(folder) if not is_map(path)])


def by_stem(paths: Sequence[Path]) -> dict[str, list[Path]]:
    """Return paths by stem, in Unicode's composed form."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(composed(stem_of(path)), []).append(path)
    return found


def composed(name: str) -> str:
    """Return a name as it compares: in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", name)


def ignores_case(folder: Path) -> bool:
    """Whether the file system finds the files in a folder by their names in any case."""
    for entry in _entries(folder):
        other = folder / entry.name.swapcase()
        if other.name != entry.name:
            try:
                return os.path.samefile(entry, other)
            except OSError:
                return False
    return False


def natural(path: Path) -> tuple[tuple[tuple[int, str], ...], str]:
    """Return what sorts names by the numbers in them: ``p_2`` before ``p_10``."""
    parts = re.split(r"([0-9]+)", composed(str(path)).casefold())
    # Text is at even places, numbers at odd ones: like is compared with like.
    keys = tuple((int(part), "") if n % 2 else (0, part) for n, part in enumerate(parts))
    return keys, str(path)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir(), key=natural)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be listed: {error.strerror}") from None
    except ValueError as error:  # a NUL in the name
        raise UsageError(f"{str(folder)!r}: cannot be listed: {error}") from None
