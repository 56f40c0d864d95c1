"""Published sets of real images, and what published methods made of them.

``ROOT/sources/TASK/SET/SCENE_ROLE.ext`` and ``ROOT/peers/METHOD/SET/SCENE.ext``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fusionkit.contract.options import suggest
from fusionkit.errors import UsageError
from fusionkit.host.batch import find_scenes, images_by_stem
from fusionkit.recipes.finding import DEFAULT_TASK, tasks

from ..photographs import read_pixels
from ..truth import part_of
from .scenes import BenchScene, Made

FAMILIES = {"mff": "focus", "mef": "exposure", "multi-focus": "focus", "multi-exposure": "exposure"}
"""What a task's folder begins with, and the tools that are for it; others have none."""

RECIPES = {
    "mff": "multi-focus",
    "mef": "multi-exposure",
    "ivif": "infrared-visible",
    "nir": "infrared-visible",
    **{name: name for name in tasks() if name != DEFAULT_TASK},
}
"""What a task's folder begins with, and the recipe that suits it."""


@dataclass(frozen=True)
class PublishedSet:
    """One set: its scenes, and the published images of every method that has some."""

    task: str
    name: str
    scenes: dict[str, tuple[Path, ...]]
    peers: dict[str, dict[str, Path]]

    @property
    def family(self) -> str | None:
        """``focus``, ``exposure`` or None."""
        return _by_prefix(FAMILIES, self.task)

    @property
    def recipe(self) -> str | None:
        """The name of the recipe of fusionkit's own that suits it, if one does."""
        return _by_prefix(RECIPES, self.task)

    @property
    def medical(self) -> bool:
        """Whether its images lie on black grounds."""
        return self.task.startswith("medical")

    def bench_scenes(
        self, seeds: Sequence[int], limit: int | None, part: str | None
    ) -> list[BenchScene]:
        """Return its scenes in sorted order, the first ``limit``, of one part or of both."""
        found = []
        for place, (name, paths) in enumerate(list(self.scenes.items())[:limit]):
            if part not in (None, part_of(place)):
                continue
            digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
            found += [
                BenchScene(
                    name,
                    seed,
                    part_of(place),
                    {"set": self.name, "sources": digests},
                    _reader(paths),
                )
                for seed in seeds
            ]
        return found


def published_sets(root: Path, wanted: Sequence[str] | None = None) -> list[PublishedSet]:
    """Return the sets under a folder, all or those named, sorted by task and name.

    Raises
    ------
    UsageError
        There is no set of a name, or none at all.
    """
    folders = sorted(path for path in root.glob("sources/*/*") if path.is_dir())
    names = [folder.name for folder in folders]
    if not folders:
        raise UsageError(f"{root}: there is nothing in sources/TASK/SET below it")
    for name in wanted or ():
        if name not in names:
            hint = suggest(name, names) or f" There are {', '.join(names)}."
            raise UsageError(f"unknown set {name!r}.{hint}")
    return [
        PublishedSet(
            folder.parent.name, folder.name, find_scenes([folder]).found, _peers(root, folder.name)
        )
        for folder in folders
        if wanted is None or folder.name in wanted
    ]


def _by_prefix(table: Mapping[str, str], task: str) -> str | None:
    return next((table[prefix] for prefix in table if task.startswith(prefix)), None)


def _peers(root: Path, name: str) -> dict[str, dict[str, Path]]:
    folders = sorted(path for path in root.glob(f"peers/*/{name}") if path.is_dir())
    return {
        folder.parent.name: {stem: paths[0] for stem, paths in images_by_stem(folder).items()}
        for folder in folders
    }


def _reader(paths: tuple[Path, ...]) -> Callable[[], Made]:
    def make() -> Made:
        return Made(tuple(map(read_pixels, paths)), None, None, (0.0,) * len(paths))

    return make
