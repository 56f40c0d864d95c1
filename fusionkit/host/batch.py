"""Many scenes: folders paired by name, folders of stacks, one folder of all, or a manifest."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..contract.paths import split_part
from ..contract.reading import stem_of
from ..errors import UsageError
from ..imaging import SUPPORTED
from ..imaging.stacks import images_in
from ..imaging.volumes import is_series
from .grouping import Groups, Stacking, group, names_say_scenes
from .listing import (
    Ways,
    by_stem,
    composed,
    folders_of,
    holds_sources,
    ignores_case,
    images_by_stem,
    images_of,
    other_kinds,
    sources_of,
)
from .manifest import SUFFIXES, Row, read_manifest

__all__ = ["Scenes", "Stacking", "doubled_stem", "find_scenes", "holds_scenes", "images_by_stem"]


@dataclass(frozen=True)
class Scenes:
    """The scenes that were found, and what could not be made one.

    Attributes
    ----------
    found
        Name to the paths of its sources, sorted by name. A name is a file's name without
        its extension, below folders where the sources are. One path alone is a stack.
    problems
        Name to why it is not a scene.
    notes
        What was left out, and why.
    rows
        What a manifest says of each, by name; empty without one.
    """

    found: dict[str, tuple[Path, ...]]
    problems: dict[str, str]
    notes: tuple[str, ...] = ()
    rows: Mapping[str, Row] = field(default_factory=dict)

    @property
    def sources(self) -> list[Path]:
        """Every source of every scene."""
        return [path for paths in self.found.values() for path in paths]

    def of_files(self) -> Scenes:
        """Return those whose sources are files of their own, for who reads no stacks.

        Raises
        ------
        UsageError
            There are none.
        """
        found = {name: paths for name, paths in self.found.items() if len(paths) > 1}
        stacks = {
            name: f"{paths[0]} holds several images: only run takes these, save them as files"
            for name, paths in self.found.items()
            if len(paths) == 1
        }
        if not found:
            raise UsageError(next(iter(stacks.values())))
        return replace(
            self, found=found, problems=dict(sorted({**self.problems, **stacks}.items()))
        )

    def place_of(self, name: str) -> str:
        """Return where the result of a scene goes in the folder of results."""
        row = self.rows.get(name)
        return row.output if row is not None and row.output else name


def holds_scenes(sources: Sequence[str | Path]) -> bool:
    """Whether the sources name many scenes (folders, a manifest) and not the images of one.

    Raises
    ------
    UsageError
        Some are folders and some are not.
    """
    folders = [os.path.isdir(source) for source in sources]
    if any(folders) and not all(folders):
        named = [str(source) for source in sources if os.path.isdir(split_part(source)[0])]
        none = [name for name in named if not is_series(name)]
        why = ", without a series of slices, as DICOM has them" if none else ""
        raise UsageError(
            f"{(none or named)[0]}: this is a folder{why}: sources are all files, or all folders, "
            "not some of each"
        )
    return any(folders) or (len(sources) == 1 and Path(sources[0]).suffix.lower() in SUFFIXES)


def find_scenes(
    sources: Sequence[str | Path],
    how: Stacking = Stacking(),  # noqa: B008
    options: Collection[str] = (),
    elsewhere: Callable[[str], Path | None] = lambda cell: None,
    flags: Collection[str] = (),
) -> Scenes:
    """Find the scenes of folders, of a manifest, or of files that are to be grouped.

    Several folders hold one source of each scene, under one stem (``ir/07.png`` and
    ``vi/07.jpg``), in them or in folders below that are in all of them. One folder of folders
    holds a stack in each. One folder of images holds scenes named ``SCENE_ROLE``
    (``07_ir.png``, ``07_vi.png``), or one stack; see :func:`fusionkit.host.grouping.group`. A
    manifest names scenes and sources; see :func:`fusionkit.host.manifest.read_manifest`.
    What fusionkit made is no source in a folder. ``options`` are names that columns of a manifest
    may have which hold no sources; ``elsewhere`` says where those are that it names by URLs,
    and ``flags`` are names that columns may not have.

    Raises
    ------
    UsageError
        A folder or manifest cannot be read, nothing in it makes a scene, or the images of a
        folder could be grouped in several ways.
    """
    paths = [Path(source) for source in sources]
    notes: list[str] = []
    problems: dict[str, str] = {}
    rows: dict[str, Row] = {}
    ways = Ways()
    if how.said and (len(paths) > 1 or not os.path.isdir(paths[0])) and holds_scenes(paths):
        raise UsageError("--stack-by and --stack-gap group the images of one folder, or of a list")
    if not holds_scenes(paths):
        groups = group(paths, "stack", how)
    elif len(paths) > 1:
        groups = _paired(paths, problems, notes, ways)
    elif os.path.isdir(paths[0]):
        groups = _of_folder(paths[0], how, problems, notes, ways)
    else:
        rows, problems = read_manifest(paths[0], options, elsewhere, flags)
        groups = {name: row.sources for name, row in rows.items()}
    found: Groups = {}
    for name in sorted(groups):
        why = _no_scene(name, groups[name])
        if why is None:
            found[name] = groups[name]
        else:
            problems[name] = why
    if not found:
        listed = ", ".join(map(str, paths))
        bare = [path for path in paths if os.path.isdir(path) and not holds_sources(path)]
        why = _without_images(bare) if bare else next(iter(problems.values()), "")
        raise UsageError(f"{listed}: no scene with two sources or more: {why}")
    return Scenes(found, dict(sorted(problems.items())), (*notes, *ways.notes), rows)


def check_name(name: str) -> None:
    """Raise UsageError if a scene's name cannot name files in the folders that results go to."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts) or re.search(r"[\\\x00-\x1f\x7f]", name):
        raise UsageError(f"{name!r} cannot name a file")


def doubled_stem(paths: Sequence[Path]) -> str:
    """Say that a folder holds one stem twice."""
    return f"{paths[0].parent} holds {' and '.join(path.name for path in paths)}: keep one of them"


def _no_scene(name: str, paths: Sequence[Path]) -> str | None:
    """Say why a group is no scene; None if it is one."""
    try:
        check_name(name)
    except UsageError as error:
        return str(error)
    if len(paths) == 1 and images_in(paths[0]) < 2:
        return f"{paths[0]} is the only source of its scene"
    return None


def _without_images(paths: Sequence[Path]) -> str:
    """Say that there are no images in folders, and what there is."""
    where = f"in {' and '.join(map(str, paths))} "
    if any(map(images_of, paths)):
        return f"{where}there are but results of fusionkit, which are no sources of a folder"
    others = sorted({kind for path in paths for kind in other_kinds(path)})
    there = f", but {', '.join(others)}" if others else ""
    return f"{where}there are no images ({SUPPORTED}){there}"


def _paired(
    folders: Sequence[Path],
    problems: dict[str, str],
    notes: list[str],
    ways: Ways,
    below: str = "",
) -> Groups:
    """Pair the images of several folders by stem, and so on in the folders that all have."""
    for one, other in ((a, b) for n, a in enumerate(folders) for b in folders[n + 1 :]):
        if os.path.samefile(one, other):
            raise UsageError(f"{one} and {other} are one folder: give each once")
    folds = any(map(ignores_case, folders))
    groups: Groups = {}
    listings = [_keyed(by_stem(sources_of(folder)), folds) for folder in folders]
    for key in dict.fromkeys(key for listing in listings for key in listing):
        found = [listing.get(key, []) for listing in listings]
        present = next(paths for paths in found if paths)
        name = below + composed(stem_of(present[0]))
        doubled = next((paths for paths in found if len(paths) > 1), None)
        missing = [folder for folder, paths in zip(folders, found, strict=True) if not paths]
        if doubled is not None:
            problems[name] = doubled_stem(doubled)
        elif missing:
            listed = ", ".join(map(str, missing))
            near = [p for each in listings for p in _in_other_case(key, each)]
            hint = f" (there is {near[0]}: names differ in case)" if near else ""
            problems[name] = f"no image of this name in {listed}{hint}"
        else:
            groups[name] = tuple(paths[0] for paths in found)
    below_of = [_keyed(_by_name(folders_of(folder)), folds) for folder in folders]
    for key in dict.fromkeys(key for inner in below_of for key in inner):
        inner = [each[key][0] for each in below_of if key in each]
        if not ways.enter(*inner):
            continue
        if len(inner) == len(folders):
            groups |= _paired(inner, problems, notes, ways, f"{below}{composed(inner[0].name)}/")
        else:
            notes += _left_out(inner, "the other sources have no folder of this name")
    return groups


def _keyed(listing: dict[str, list[Path]], folds: bool) -> dict[str, list[Path]]:
    """Return a listing by what its names compare by."""
    keyed: dict[str, list[Path]] = {}
    for name, paths in listing.items():
        keyed.setdefault(name.casefold() if folds else name, []).extend(paths)
    return keyed


def _by_name(paths: Iterable[Path]) -> dict[str, list[Path]]:
    return {composed(path.name): [path] for path in paths}


def _in_other_case(key: str, listing: dict[str, list[Path]]) -> list[Path]:
    return [
        paths[0]
        for other, paths in listing.items()
        if other != key and other.casefold() == key.casefold()
    ]


def _of_folder(
    folder: Path, how: Stacking, problems: dict[str, str], notes: list[str], ways: Ways
) -> Groups:
    """Group the images of a folder; without any, take each folder in it as a stack."""
    images, inner = sources_of(folder), folders_of(folder)
    if images:
        notes += _left_out(inner, f"{folder} holds images itself")
        return group(images, composed(folder.resolve().name) or "stack", how)
    groups: Groups = {}
    for each in inner:
        name = composed(each.name)
        try:
            if holds_sources(each):
                groups |= _stacks_below(each, name, how, problems, ways)
        except UsageError as error:
            problems[name] = str(error)
    return groups


def _left_out(folders: Sequence[Path], why: str) -> list[str]:
    """Say of folders that there are sources in them, or that nobody may look."""
    notes = []
    for folder in folders:
        try:
            if holds_sources(folder):
                notes.append(f"{folder}: {why}, so it is left out")
        except UsageError as error:
            notes.append(str(error))
    return notes


def _stacks_below(
    folder: Path, name: str, how: Stacking, problems: dict[str, str], ways: Ways
) -> Groups:
    """Take a folder as one stack, or those in it, unless it is said how to group its images."""
    images = sources_of(folder)
    if not images:
        groups: Groups = {}
        for each in filter(ways.enter, folders_of(folder)):
            groups |= _stacks_below(each, f"{name}/{composed(each.name)}", how, problems, ways)
        return groups
    if not how.said and names_say_scenes(images):
        problems[name] = (
            f"its names are those of several scenes: give {folder} by itself, or --stack-by all "
            "if it is one stack"
        )
        return {}
    try:
        stacks = group(images, name, how if how.said else Stacking("all"))
    except UsageError as error:
        problems[name] = str(error)
        return {}
    if len(stacks) == 1:
        return {name: next(iter(stacks.values()))}
    return {f"{name}/{scene}": paths for scene, paths in stacks.items()}
