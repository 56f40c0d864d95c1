"""Results that are folders of slices, with a record beside them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..imaging.files import exists, locked, part_folder, part_of, sweep, utf8
from .saving import StrPath, check_place, make_folder, record_of, record_path_of, record_text


def check_free_folder(path: StrPath) -> None:
    """Raise UsageError, before anything is computed, if a folder of slices could not be made."""
    record = record_path_of(path)
    if os.path.lexists(path):
        raise UsageError(
            f"{os.fspath(path)}: this exists, and a folder of slices is made anew: give another "
            "name, or remove it first"
        )
    check_place(path)
    check_place(record)
    if os.path.exists(record) and record_of(path) is None:
        raise exists(record)


def save_folder(path: StrPath, files: Iterable[tuple[str, bytes]], record: dict[str, Any]) -> None:
    """Write files into a folder, which has its name when all are there, and the record beside it.

    The record's ``output`` gets the ``sha256`` of every file, by name. It is there before the
    folder: one of the same recipe and inputs that an interrupted run left is replaced.
    """
    folder = Path(path).absolute().parent
    make_folder(folder)
    sweep(folder)
    with part_folder(path) as made, part_of(record_path_of(path)) as about:
        hashes = {}
        for name, data in files:
            (made / name).write_bytes(data)
            hashes[name] = hashlib.sha256(data).hexdigest()
        record["output"]["files"] = hashes
        about.file.write(utf8(record_text(record)))
        about.settle()
        with locked(folder):
            check_free_folder(path)
            about.take_name(overwrite=True)
            os.rename(made, path)
