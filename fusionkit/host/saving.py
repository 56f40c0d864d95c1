"""Results: a fused image with its record beside it, which is always the record of that image."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..contract.hashes import hash_of_file
from ..contract.paths import refuse_url, split_part
from ..contract.reading import stem_of
from ..errors import UsageError
from ..imaging.files import (
    Part,
    atomic_write,
    check_destination,
    exists,
    explained,
    locked,
    part_of,
    sweep,
    utf8,
)

StrPath = str | os.PathLike[str]

TRACE_FILES = ("trace.json", "strip.png", "curves.png")
"""What a trace writes into its folder."""

MAPS_LIST = "maps.json"
"""The list of the maps of a run, in their folder."""


def record_path_of(path: StrPath) -> str:
    """Return where the record of an output goes: ``out.png`` -> ``out.png.json``."""
    return os.fspath(path) + ".json"


def map_path_of(path: StrPath, name: str) -> str:
    """Return where a map of an output goes: ``out.png`` -> ``out.std.tif``."""
    return str(Path(path).with_name(f"{stem_of(Path(path))}.{name}.tif"))


def save_map(path: StrPath, data: bytes, *, overwrite: bool = False) -> None:
    """Write a map of a result; what an interrupted run left of it may be there."""
    make_folder(Path(path).absolute().parent)
    same = os.path.isfile(path) and file_sha256(path) == hashlib.sha256(data).hexdigest()
    with atomic_write(path, overwrite=overwrite or same) as file:
        file.write(data)


def record_text(record: dict[str, Any]) -> str:
    """Return the record as the text of its file."""
    return json.dumps(record, indent=2, ensure_ascii=False) + "\n"


def record_of(path: StrPath) -> dict[str, Any] | None:
    """Return the record that lies beside an image; None if there is none of fusionkit's."""
    record = _json_of_ours(record_path_of(path))
    return record if record is not None and isinstance(record.get("recipe"), dict) else None


def is_result(path: StrPath) -> bool:
    """Whether fusionkit made a file.

    That is a fused image with its record, a map of one, or of a trace, or a slice of a folder.
    """
    return is_single_result(path) or _is_slice(path)


def is_single_result(path: StrPath) -> bool:
    """Whether fusionkit made a file that is no part of a folder made as one."""
    if Path(path).name in TRACE_FILES:
        return _json_of_ours(Path(path).with_name("trace.json")) is not None
    return record_of(path) is not None or is_map(path)


def is_record(path: StrPath) -> bool:
    """Whether a file is the record of a result that lies beside it."""
    name = os.fspath(path)
    return name.endswith(".json") and record_of(name.removesuffix(".json")) is not None


def _is_slice(path: StrPath) -> bool:
    """Whether the record beside a file's folder lists it."""
    folder, name = os.path.split(os.path.abspath(path))
    try:
        status = os.stat(record_path_of(folder))
    except (OSError, ValueError):
        return False
    return name in _listed(folder, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)  # or the record would be read once more for each of its slices
def _listed(folder: str, changed: int, size: int) -> frozenset[str]:
    """Return the names of the slices that the record beside a folder lists."""
    output = (record_of(folder) or {}).get("output")
    files = output.get("files") if isinstance(output, dict) else None
    return frozenset(files if isinstance(files, dict) else ())


def is_map(path: StrPath) -> bool:
    """Whether a file is a map of a run: of a result beside it (``out.std.tif``), or of a list."""
    folder, name = os.path.split(os.fspath(path))
    if name in listed_maps(folder):
        return True
    parts = name.split(".")
    for count in range(1, len(parts) - 1) if parts[-1] == "tif" else ():
        stem = glob.escape(os.path.join(folder, ".".join(parts[:count])))
        for record in glob.glob(f"{stem}.*.json"):
            output = (record_of(record.removesuffix(".json")) or {}).get("output")
            maps = output.get("maps") if isinstance(output, dict) else None
            if isinstance(maps, dict) and name in maps:
                return True
    return False


def listed_maps(folder: StrPath) -> list[str]:
    """Return the names of the maps of a run in a folder; none where there is no list of them."""
    maps = (_json_of_ours(os.path.join(folder, MAPS_LIST)) or {}).get("maps")
    return list(maps) if isinstance(maps, dict) else []


def finished(path: StrPath) -> dict[str, Any] | None:
    """Return the record of a result that is whole: it holds the hash of the image beside it."""
    record = record_of(path)
    output = {} if record is None else record.get("output")
    if not isinstance(output, dict) or not os.path.isfile(path):
        return None
    return record if output.get("sha256") == file_sha256(path) else None


def made_of(record: dict[str, Any], recipe: dict[str, Any], sources: Sequence[StrPath]) -> bool:
    """Whether a record tells of this recipe, every setting spelled out, and of these files.

    One file alone is a stack, each of whose pages the record lists.
    """
    if record["recipe"] != recipe:
        return False
    inputs = record.get("inputs")
    if not isinstance(inputs, list):
        return False
    listed = [entry.get("sha256") for entry in inputs if isinstance(entry, dict)]
    hashes = [file_sha256(source) for source in sources]
    return listed == (hashes if len(hashes) > 1 else hashes * len(listed))


def file_sha256(path: StrPath) -> str:
    """Return the SHA-256 of a file; raise UsageError if it cannot be read."""
    try:
        return hash_of_file(split_part(path)[0])
    except (OSError, ValueError) as error:
        raise UsageError(f"{os.fspath(path)}: it cannot be read: {error}") from None


def check_result(path: StrPath, *, overwrite: bool = False, resume: bool = False) -> None:
    """Raise UsageError, before anything is computed, if a result could not be written there.

    Folders that are missing are made when it is. An image without a record may be what an
    interrupted run left: under ``resume`` it is no error yet, see :func:`save_result`.
    """
    record = record_path_of(path)
    for name in (path, record):
        check_place(name)
    if not overwrite:
        image_there, record_there = os.path.exists(path), os.path.exists(record)
        if image_there and not (resume and not record_there):
            raise exists(os.fspath(path))
        if record_there and record_of(path) is None:
            raise exists(record)


def check_place(path: StrPath) -> None:
    """Raise UsageError unless a file can be made there, in folders that are made for it."""
    refuse_url(path)
    if os.fspath(path).endswith((os.sep, "/")):
        raise UsageError(f"{os.fspath(path)}: this names a folder: give the name of a file in it")
    place = Path(path)
    parents = place.absolute().parents
    there = next(parent for parent in parents if os.path.lexists(parent))
    if not there.is_dir():
        what = "a link to nothing" if not os.path.exists(there) else "a file"
        raise UsageError(f"{place}: {there} is {what}, not a folder: give another name")
    if there == parents[0]:
        check_destination(path, overwrite=True)
    else:
        with explained(str(place)):
            Part(there / place.name).discard()


def check_folder(
    folder: StrPath,
    overwrite: bool = False,
    beside: Sequence[str] = (),
    files: Sequence[str] = TRACE_FILES,
    what: str = "trace",
) -> None:
    """Check, before anything is computed, that a trace, or maps, can be written into a folder.

    Parameters
    ----------
    folder
        It need not exist, but the folder that it is to be in must.
    overwrite
        Whether what it holds of the same kind may be replaced.
    beside
        Other files that will be written, which none of these may replace.
    files, what
        The names of what is written there, and what messages call it.

    Raises
    ------
    UsageError
        The folder is a file, cannot be made or written to, or holds such files and
        ``overwrite`` is false; or they would replace one of ``beside``.
    """
    refuse_url(folder)
    place = Path(folder)
    written = {(place / name).resolve() for name in files}
    for other in beside:
        if Path(other).resolve() in written:
            raise UsageError(f"{other}: the {what} would have this name: give another folder")
    if place.is_dir():
        for name in files:
            check_destination(place / name, overwrite=overwrite)
    elif os.path.lexists(place):
        raise UsageError(f"{place}: this is a file: give a folder for the {what}")
    else:  # what lets a file be made there lets the folder be
        check_destination(place)


def make_folder(path: StrPath) -> None:
    """Make a folder, and those that it is in; raise UsageError if that is refused."""
    with explained(os.fspath(path)):
        Path(path).mkdir(parents=True, exist_ok=True)


def save_result(
    path: StrPath, data: bytes | Path, record: dict[str, Any], *, overwrite: bool = False
) -> None:
    """Write an image and its record, so that no kill or race leaves one with another's other.

    Both are on the disk before either has its name, and they get their names while the folder
    is locked. Whatever is interrupted, a record lies beside its own image or beside none.

    Parameters
    ----------
    path
        Of the image; the record goes to :func:`record_path_of`.
    data
        The content of the image's file, or a file that has it.
    record
        Of this image; its ``output`` gets the ``sha256`` of ``data``.
    overwrite
        Whether existing files may be replaced. If not, what an interrupted run left is
        completed: an image without a record if it is this very image, a record
        without an image if it is of the same recipe and inputs.

    Raises
    ------
    UsageError
        The file system refuses, or other files are there and ``overwrite`` is false.
    """
    record["output"]["sha256"] = (
        file_sha256(data) if isinstance(data, Path) else hashlib.sha256(data).hexdigest()
    )
    folder = Path(path).absolute().parent
    make_folder(folder)
    sweep(folder)
    with part_of(path) as image, part_of(record_path_of(path)) as about:
        if isinstance(data, Path):
            with open(data, "rb") as file:
                shutil.copyfileobj(file, image.file)
        else:
            image.file.write(data)
        about.file.write(utf8(record_text(record)))
        for part in (image, about):
            part.settle()
        with locked(folder):
            if overwrite:
                Path(about.target).unlink(missing_ok=True)
                image.take_name(overwrite=True)
                about.take_name(overwrite=True)
            else:
                _place_new(image, about, record)


def _place_new(image: Part, about: Part, record: dict[str, Any]) -> None:
    """Give names that are free, or belong to what an interrupted run left of this result."""
    image_there, left = os.path.exists(image.target), record_of(image.name)
    if left is not None and not image_there:
        if any(left.get(key) != record[key] for key in ("recipe", "inputs")):
            raise exists(about.name)
        os.unlink(about.target)
    elif image_there and os.path.exists(about.target):
        raise exists(image.name)
    elif image_there and file_sha256(image.target) != record["output"]["sha256"]:
        raise UsageError(
            f"{image.name}: an image without its record, and another than this run makes: "
            "give another name, or --overwrite (in Python overwrite=True)"
        )
    # The record first: alone, it is known for what it is.
    about.take_name()
    if not image_there:
        try:
            image.take_name()
        except BaseException:
            os.unlink(about.target)
            raise


def _json_of_ours(path: StrPath) -> dict[str, Any] | None:
    try:
        content = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and "fusionkit" in content else None
