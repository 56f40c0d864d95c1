"""Which images of one folder make a scene: by name, by number, by time, or all of them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ..contract.reading import stem_of
from ..errors import UsageError
from ..imaging.stacks import images_in
from .listing import composed, ignores_case

Groups = dict[str, tuple[Path, ...]]
Dated = tuple[datetime.datetime, Path]

_MOST_CERTAIN = 3  # images: fewer than four cannot be two stacks
_SHOWN = 3  # groups, in a message
_EXIF, _TAKEN, _TAKEN_FRACTION = 0x8769, 0x9003, 0x9291


@dataclass(frozen=True)
class Stacking:
    """How the images of a folder make stacks, where a person says so.

    Attributes
    ----------
    by
        ``all``: one stack. ``name``: by ``SCENE_ROLE``. A number: so many in a row, in the
        order of their names. None: left to the names, if they say it.
    gap
        Seconds: a stack ends where this much or more lies between two images, by Exif.
    """

    by: str | int | None = None
    gap: float | None = None

    @property
    def said(self) -> bool:
        """Whether anything is."""
        return self.by is not None or self.gap is not None


def group(images: Sequence[Path], folder: str, how: Stacking = Stacking()) -> Groups:
    """Group the images of one folder into scenes.

    A file that holds several images is a scene of its own. The others are grouped as ``how``
    says. Where it leaves that to their names, these are ``SCENE_ROLE`` if some role, which is no
    number, is in two scenes; otherwise up to three images are one stack, and more are
    ambiguous.

    Parameters
    ----------
    images
        In natural order.
    folder
        What a stack of all of them is called, if they have no scene in common.

    Returns
    -------
    dict
        Name to paths. A scene of one path is a stack in itself, or lacks its other sources.

    Raises
    ------
    UsageError
        The grouping is ambiguous, with what could be said; or cannot be as is said.
    """
    stacks = [path for path in images if images_in(path) > 1]
    single = [path for path in images if path not in set(stacks)]
    groups: Groups = {}
    for path in stacks:
        _add(groups, composed(stem_of(path)), (path,))
    for name, paths in _grouped(single, folder, how).items():
        _add(groups, name, paths)
    return groups


def scene_and_role(path: Path) -> tuple[str, str]:
    """Split ``SCENE_ROLE`` or ``SCENE-ROLE``; the role is empty where there is no such split."""
    stem = composed(stem_of(path))
    scene, separator, role = stem.rpartition("_" if "_" in stem else "-")
    return (scene, role) if separator and scene and role else (stem, "")


def _grouped(images: Sequence[Path], folder: str, how: Stacking) -> Groups:
    if len(images) < 2:
        return _named_by_first([images] if images else [])
    if how.gap is not None:
        return _named_by_first(_by_time(_dated(images), how.gap))
    if isinstance(how.by, int):
        return _named_by_first(_by_number(images, how.by))
    if how.by == "all":
        return {_common_scene(images) or folder: tuple(images)}
    if how.by == "name" or names_say_scenes(images):
        return _by_name(images, numbers=how.by == "name")
    if len(images) <= _MOST_CERTAIN:
        return {_common_scene(images) or folder: tuple(images)}
    raise _ambiguous(images, folder)


def names_say_scenes(images: Sequence[Path]) -> bool:
    """Whether names are ``SCENE_ROLE``: some role that is no number is in two scenes."""
    scenes_of: dict[str, set[str]] = {}
    for scene, role in map(scene_and_role, images):
        if role and not role.isdecimal():
            scenes_of.setdefault(role.casefold(), set()).add(scene)
    return any(len(scenes) > 1 for scenes in scenes_of.values())


def _by_name(images: Sequence[Path], numbers: bool) -> Groups:
    """Group by ``SCENE_ROLE``; what has no role, or a number unless these count, stays alone."""
    folds = ignores_case(images[0].parent)
    found: dict[str, tuple[str, list[Path]]] = {}
    for path in images:
        scene, role = scene_and_role(path)
        if role.isdecimal() and not numbers:
            scene = composed(stem_of(path))
        found.setdefault(scene.casefold() if folds else scene, (scene, []))[1].append(path)
    return {scene: tuple(paths) for scene, paths in found.values()}


def _common_scene(images: Sequence[Path]) -> str | None:
    """Return the scene that all names begin with, if their roles are no numbers."""
    split = [scene_and_role(path) for path in images]
    scenes = {scene for scene, role in split if role and not role.isdecimal()}
    return scenes.pop() if len(scenes) == 1 and all(role for _, role in split) else None


def _by_number(images: Sequence[Path], size: int) -> list[Sequence[Path]]:
    if size < 2:
        raise UsageError(f"--stack-by {size}: a stack is of two images or more")
    over = len(images) % size
    if over:
        raise UsageError(
            f"--stack-by {size}: {len(images)} images are no whole number of stacks: "
            f"{images[-over].name} and what follows would be left over"
        )
    return [images[n : n + size] for n in range(0, len(images), size)]


def _dated(images: Sequence[Path]) -> list[Dated]:
    """Return images with the times they were taken at, in that order; UsageError if some lack it.

    By name where the time is the same.
    """
    dated = []
    for path in images:
        time = _time_taken(path)
        if time is None:
            raise UsageError(f"--stack-gap: the Exif of {path} does not say when it was taken")
        dated.append((time, path))
    return sorted(dated, key=lambda one: one[0])


def _by_time(dated: Sequence[Dated], gap: float) -> list[Sequence[Path]]:
    groups = [[dated[0][1]]]
    for (before, _), (time, path) in pairwise(dated):
        if (time - before).total_seconds() >= gap:
            groups.append([])
        groups[-1].append(path)
    return list(groups)


def _time_taken(path: Path) -> datetime.datetime | None:
    """Read from the Exif of an image when it was taken, by the camera's clock."""
    from PIL import Image

    try:
        with Image.open(path, formats=("JPEG", "TIFF", "PNG", "WEBP")) as image:
            exif = image.getexif().get_ifd(_EXIF)
        taken = datetime.datetime.strptime(str(exif[_TAKEN]).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except Exception:  # damaged files raise nearly anything; who reads the image says what is wrong
        return None
    fraction = re.match(r"\d+", str(exif.get(_TAKEN_FRACTION, "")))
    return taken + datetime.timedelta(seconds=float(f"0.{fraction[0]}") if fraction else 0)


def _named_by_first(stacks: Sequence[Sequence[Path]]) -> Groups:
    groups: Groups = {}
    for paths in stacks:
        _add(groups, composed(stem_of(paths[0])), tuple(paths))
    return groups


def _add(groups: Groups, name: str, paths: tuple[Path, ...]) -> None:
    if name in groups:
        raise UsageError(f"{groups[name][0]} and {paths[0]} begin scenes of one name: rename one")
    groups[name] = paths


def _ambiguous(images: Sequence[Path], folder: str) -> UsageError:
    """Make the error that shows what could be meant, and how to say it."""
    size = next((n for n in (2, 3, 5, 7) if len(images) % n == 0 and len(images) > n), None)
    ways = [f"--stack-by all makes one stack of the {len(images)}"]
    if size is not None:
        ways.append(f"--stack-by {size} makes {_shown(_by_number(images, size))}")
    by_name = _by_name(images, numbers=True)
    if 1 < len(by_name) < len(images):
        ways.append(f"--stack-by name makes {_shown(list(by_name.values()))}")
    ways.append(_way_by_time(images))
    ways.append("or put every stack into a folder of its own")
    return UsageError(
        f"{folder}: the names of its {len(images)} images do not say which belong to one scene: "
        + "; ".join(ways)
    )


def _way_by_time(images: Sequence[Path]) -> str:
    """Say what the times of the images make of them, if these come in bursts."""
    unknown = "--stack-gap SECONDS goes by the times in Exif"
    try:
        dated = _dated(images)
    except UsageError:
        return f"{unknown}, which some lack"
    gaps = sorted({(after - before).total_seconds() for (before, _), (after, _) in pairwise(dated)})
    for within, between in pairwise(gaps):
        stacks = _by_time(dated, between)
        if min(map(len, stacks)) > 1:
            gap = f"{(within + between) / 2:.3g}"
            return f"--stack-gap {gap} (seconds, by Exif) makes {_shown(stacks)}"
    return unknown


def _shown(groups: Sequence[Sequence[Path]]) -> str:
    texts = [
        f"({' '.join(path.name for path in paths)})"
        if len(paths) <= _SHOWN
        else f"({paths[0].name} ... {paths[-1].name})"
        for paths in groups[:_SHOWN]
    ]
    more = f" and {len(groups) - _SHOWN} more" if len(groups) > _SHOWN else ""
    return " ".join(texts) + more
